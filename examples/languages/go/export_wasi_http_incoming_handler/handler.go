// Package export_wasi_http_incoming_handler answers HTTP; the bindings look for it under this name.
package export_wasi_http_incoming_handler

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"wit_component/examples_languages_greeter"
	"wit_component/wasi_http_types"
	"wit_component/wasi_keyvalue_atomics"
	"wit_component/wasi_keyvalue_store"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

type answer struct {
	Language string   `json:"language"`
	Visits   uint64   `json:"visits"`
	Greeting greeting `json:"greeting"`
}

type greeting struct {
	Language string `json:"language"`
	Text     string `json:"text"`
}

func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	visits, err := countVisit()
	if err != nil {
		send(out, 503, "text/plain; charset=utf-8", []byte(err.Error()+"\n"))
		return
	}
	// The component that the manifest links, in whatever language it is.
	greeted := examples_languages_greeter.Greet(nameOf(request))
	body, err := json.Marshal(answer{"Go", visits, greeting(greeted)})
	if err != nil {
		panic(err)
	}
	send(out, 200, "application/json", append(body, '\n'))
}

func countVisit() (uint64, error) {
	bucket := wasi_keyvalue_store.Open("visits")
	if bucket.IsErr() {
		return 0, words(bucket.Err())
	}
	visits := wasi_keyvalue_atomics.Increment(bucket.Ok(), "Go", 1)
	if visits.IsErr() {
		return 0, words(visits.Err())
	}
	return visits.Ok(), nil
}

func words(err wasi_keyvalue_store.Error) error {
	if err.Tag() == wasi_keyvalue_store.Error_Other {
		return errors.New(err.Other())
	}
	return errors.New("the store cannot be used")
}

func nameOf(request *wasi_http_types.IncomingRequest) string {
	_, query, _ := strings.Cut(request.PathWithQuery().SomeOr(""), "?")
	// Of a query that is not well-formed, what can be read counts.
	values, _ := url.ParseQuery(query)
	if name := values.Get("name"); name != "" {
		return name
	}
	return "World"
}

func send(out *wasi_http_types.ResponseOutparam, status uint16, mediaType string, content []byte) {
	headers := wasi_http_types.MakeFields()
	headers.Append("content-type", []byte(mediaType))
	response := wasi_http_types.MakeOutgoingResponse(headers)
	response.SetStatusCode(status)
	body := response.Body().Ok()
	wasi_http_types.ResponseOutparamSet(out, witTypes.Ok[*wasi_http_types.OutgoingResponse, wasi_http_types.ErrorCode](response))
	stream := body.Write().Ok()
	// A single write takes 4096 bytes.
	for len(content) > 0 {
		piece := content[:min(len(content), 4096)]
		if stream.BlockingWriteAndFlush(piece).IsErr() {
			return
		}
		content = content[len(piece):]
	}
	stream.Drop()
	wasi_http_types.OutgoingBodyFinish(body, witTypes.None[*wasi_http_types.Fields]())
}
