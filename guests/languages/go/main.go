// A command that Go's own compiler made: it ends with an exit status, as all of Go's do.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("Hello from Go!")
	if _, err := os.ReadFile("/etc/passwd"); err == nil {
		fmt.Println("files are readable")
		os.Exit(1)
	}
}
