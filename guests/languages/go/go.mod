module umbel.dev/guests/go

go 1.21
