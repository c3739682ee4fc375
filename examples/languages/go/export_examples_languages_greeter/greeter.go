// Package export_examples_languages_greeter has what this component serves to others; the bindings look for it under this name.
package export_examples_languages_greeter

import "wit_component/examples_languages_greeter"

func Greet(name string) examples_languages_greeter.Greeting {
	return examples_languages_greeter.Greeting{Language: "Go", Text: "Hello, " + name + "! Go greets you."}
}
