package main

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"belfry/configs"
)

// checkSchema holds every event against the JSON Schema.
func checkSchema(t *testing.T, bodies [][]byte) {
	t.Helper()
	file, err := configs.Files.ReadFile("schema/event.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, body := range bodies {
		event, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err == nil {
			err = schema.Validate(event)
		}
		if err != nil {
			if refused++; refused < 4 {
				t.Errorf("%v\nin %s", err, body)
			}
		}
	}
	if refused > 0 {
		t.Errorf("%d of %d events are not what the schema says", refused, len(bodies))
	}
}
