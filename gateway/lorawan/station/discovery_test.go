package station

import "testing"

func TestDiscoveryIsAnswered(t *testing.T) {
	for _, text := range []string{
		`{"router":"16:c001:ff10:a2b3"}`, `{"router":"00-16-C0-01-FF-10-A2-B3"}`, `{"router":6403564294415027}`, `{ "router" : "0016c001ff10a2b3", "more" : [1] }`,
	} {
		got, err := ParseDiscovery([]byte(text))
		if err != nil || got != 0x0016c001ff10a2b3 {
			t.Errorf("%s: got %x, %v", text, uint64(got), err)
		}
	}
	const router = ID(0x0016c001ff10a2b3)
	for got, want := range map[string]string{
		string(Discovered(router, "wss://box.town.example:8887/router/0016c001ff10a2b3")): `{"router":"16:c001:ff10:a2b3","muxs":"muxs-::0","uri":"wss://box.town.example:8887/router/0016c001ff10a2b3"}`,
		string(Refused(router, "not admitted")):                                           `{"router":"16:c001:ff10:a2b3","error":"not admitted"}`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestMalformedDiscoveryIsRefused(t *testing.T) {
	for _, text := range []string{
		``, `"::1"`, `{}`, `{"router":null}`, `{"router":"x"}`, `{"router":true}`, `{"router":1.5}`, `{"router":"::1","router":"::2"}`, `{"router":["::1"]}`,
	} {
		if got, err := ParseDiscovery([]byte(text)); err == nil {
			t.Errorf("%s: got %x, want an error", text, uint64(got))
		}
	}
}

func FuzzParseDiscovery(f *testing.F) {
	for _, text := range []string{`{"router":"::1"}`, `{"router":1}`, `{"router":"00-16-C0-01-FF-10-A2-B3"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if id, err := ParseDiscovery(text); err != nil && id != 0 {
			t.Errorf("got %x and %v", uint64(id), err)
		}
	})
}
