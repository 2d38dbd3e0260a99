package station

import "testing"

func TestIdentitiesAreReadInAllTheirForms(t *testing.T) {
	for _, c := range []struct {
		text string
		want ID
	}{
		{"0016C001FF10A2B3", 0x0016c001ff10a2b3},
		{"00-16-c0-01-FF-10-a2-B3", 0x0016c001ff10a2b3},
		{"00:16:C0:01:FF:10:A2:B3", 0x0016c001ff10a2b3},
		{"16:c001:ff10:a2b3", 0x0016c001ff10a2b3},
		{"router-16:c001:ff10:a2b3", 0x0016c001ff10a2b3},
		{"ffff:ffff:ffff:ffff", 0xffffffffffffffff},
		{"1234:5678:9abc:d", 0x123456789abc000d},
		{"::", 0},
		{"::0", 0},
		{"::1", 1},
		{"::a:b", 0x000a000b},
		{"::a:b:c", 0x000a000b000c},
		{"f::", 0x000f000000000000},
		{"f:e::", 0x000f000e00000000},
		{"f:e:d::", 0x000f000e000d0000},
		{"f::1", 0x000f000000000001},
		{"f::1:2", 0x000f000000010002},
		{"f:e::1", 0x000f000e00000001},
	} {
		if got, err := ParseID(c.text); err != nil || got != c.want {
			t.Errorf("%q: got %x, %v, want %x", c.text, uint64(got), err, uint64(c.want))
		}
	}
}

func TestWhatIsNoIdentityIsRefused(t *testing.T) {
	for _, text := range []string{
		"", ":", ":::", "1:2:3", "1:2:3:4:5", "1:2:3:4::", "::1:2:3:4", "1::2::3", "1::2:3:4", "12345:1:1:1", "g::1", "::-1", "1: :2:3",
		"0016C001FF10A2B", "0016C001FF10A2B3F", "0016C001FF10A2BX", "00-16-C0-01-FF-10-A2", "00-16:C0-01-FF-10-A2-B3",
		"0-016-C0-01-FF-10-A2-B3", "aa:bb:cc:dd:ee:ff", "router-", "+016C001FF10A2B3", "1:2:3:", ":1:2:3",
	} {
		if got, err := ParseID(text); err == nil {
			t.Errorf("%q: got %x, want an error", text, uint64(got))
		}
	}
}

func TestIdentitiesArePrintedAsStationsDo(t *testing.T) {
	for id, want := range map[ID]string{
		0:                  "::0",
		1:                  "::1",
		0x000a000b:         "::a:b",
		0x000a000b000c:     "0:a:b:c",
		0x000f000000000000: "f::",
		0x000f000e00000000: "f:e::",
		0x000f000e000d0000: "f:e:d:0",
		0x000f000000000001: "f::1",
		0x000f000000010002: "f:0:1:2",
		0x0016c001ff10a2b3: "16:c001:ff10:a2b3",
		0xffffffffffffffff: "ffff:ffff:ffff:ffff",
	} {
		if got := id.String(); got != want {
			t.Errorf("%x: got %s, want %s", uint64(id), got, want)
		}
		for _, text := range []string{id.String(), id.EUI(), id.Hex()} {
			if again, err := ParseID(text); err != nil || again != id {
				t.Errorf("%x is printed as %q, which is read as %x, %v", uint64(id), text, uint64(again), err)
			}
		}
	}
	if got, want := ID(0x0016c001ff10a2b3).EUI(), "00-16-C0-01-FF-10-A2-B3"; got != want {
		t.Errorf("got EUI %s, want %s", got, want)
	}
}

func FuzzParseID(f *testing.F) {
	for _, text := range []string{"::1", "f:e::", "1:2:3:4", "0016C001FF10A2B3", "00-16-C0-01-FF-10-A2-B3", "router-::a:b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			return
		}
		if again, err := ParseID(id.String()); err != nil || again != id {
			t.Errorf("%q is %x, printed %s, read again as %x, %v", text, uint64(id), id, uint64(again), err)
		}
	})
}
