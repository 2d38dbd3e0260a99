package source

import (
	"strings"
	"testing"

	"belfry/gateway"
	"belfry/gateway/lorawan"
)

// noState is a store that remembers nothing.
type noState struct{}

func (noState) State(string) []byte                    { return nil }
func (noState) EachState(string, func(string, []byte)) {}

// A town that hears its sensors itself and has a network server too gets each frame two ways: both take the same counter.
func TestUplinkOfASessionThatTheRadioNetworkKnowsTakesItsCounterThere(t *testing.T) {
	network, err := lorawan.New(lorawan.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	key := lorawan.Key{1}
	network.SetDevices([]lorawan.Device{{DevEUI: testEUI, DevAddr: "260b1f42", NwkSKey: &key, AppSKey: &key}})
	network.Restore(noState{})
	chirp, things := testChirpStack(t), testTTN(t, "street-lights@ttn")
	chirp.env.Network, things.env.Network = network, network
	const chirpUplink = `{"deduplicationId":"d",` + ofDevice + `,"devAddr":"260B1F42","fCnt":70001,"fPort":24,"data":"AQ=="}`
	for name, read := range map[string]func(topic, text string) *gateway.Uplink{
		"chirpstack": func(_, text string) *gateway.Uplink { return readEvent(chirp, testTopic+"up", []byte(text)) },
		"ttn":        func(topic, text string) *gateway.Uplink { return readTTN(things, topic, text) },
	} {
		text := map[string]string{"chirpstack": chirpUplink, "ttn": ttnUplink}[name]
		if got := read(ttnTopic+"up", text); got == nil || got.Fault != nil || got.Claim == nil {
			t.Errorf("%s: no claim in %+v", name, got)
		}
		for what, other := range map[string]string{
			"another address": strings.Replace(text, "260B1F42", "260B1F43", 1),
			"another device":  strings.NewReplacer("70B3D5E75E00A1F2", "0000000000000001").Replace(text),
		} {
			if name == "chirpstack" && what == "another device" {
				continue // it is in the topic too
			}
			if got := read(ttnTopic+"up", other); got == nil || got.Fault != nil || got.Claim != nil {
				t.Errorf("%s: %s: got %+v", name, what, got)
			}
		}
	}
}

func TestUplinkWithoutARadioNetworkHasNoClaim(t *testing.T) {
	if got := readTTN(testTTN(t, "street-lights@ttn"), ttnTopic+"up", ttnUplink); got == nil || got.Claim != nil || got.Identity == "" {
		t.Errorf("got %+v", got)
	}
}
