package decoders_test

import (
	"errors"
	"fmt"

	"belfry/decoders"
)

// What a decoder returns: the kind of message and, for each moment, named values in the maker's units.
func ExampleRun() {
	payload := []byte{0x80, 0x00, 0x01, 0x01, 0x11, 0x03, 0x84, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x81}
	output, err := decoders.Run(decoders.Native("dingtek-df702"), decoders.Uplink{Port: 3, Payload: payload})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(output.Kind)
	for _, field := range output.Samples[0].Fields {
		fmt.Printf("%s: %s %q\n", field.Name, field.Value, field.Unit)
	}
	// Output:
	// heartbeat
	// level: 900 "mm"
	// temperature: 21 "Cel"
	// angle: 0 "deg"
	// inclination: 0 "deg"
	// full: false ""
	// fire: false ""
	// tilt: true ""
	// battery: false ""
	// frame_counter: 0 "1"
}

// What cannot be read is an error that says what was expected, never part of a result.
func ExampleRun_malformed() {
	output, err := decoders.Run(decoders.Native("dingtek-df702"), decoders.Uplink{Port: 3, Payload: make([]byte, 19)})
	fmt.Println(len(output.Samples), errors.Is(err, decoders.ErrMalformed))
	fmt.Println(err)
	// Output:
	// 0 true
	// malformed payload: 19 bytes, a data packet has 17 or 25, a parameter packet 25
}

func ExampleNewJSON() {
	decode, err := decoders.NewJSON(decoders.JSONOptions{
		Time: &decoders.JSONTime{Path: "ts", Format: "unix"},
		Fields: []decoders.JSONField{
			{Name: "level", Path: "data.level", Unit: "%", Required: true},
			{Name: "lid", Path: "data.lid"},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	output, err := decoders.Run(decode, decoders.Uplink{Payload: []byte(`{"ts": 1768410130, "data": {"level": 61, "lid": "open"}}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(output.Samples[0].Time)
	for _, field := range output.Samples[0].Fields {
		fmt.Printf("%s: %s %q\n", field.Name, field.Value, field.Unit)
	}
	// Output:
	// 2026-01-14 17:02:10 +0000 UTC
	// level: 61 "%"
	// lid: open ""
}
