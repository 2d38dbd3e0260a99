package semtech

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belfry/gateway/lorawan"
)

func TestDocumentedExamplesAreRead(t *testing.T) {
	moment := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.UTC()
	}
	lora := func(spread int) lorawan.DataRate { return lorawan.DataRate{SpreadingFactor: spread, Bandwidth: 125} }
	for _, c := range []struct {
		file string
		want Push
	}{
		{"protocol-stat.json", Push{Status: true}},
		{"protocol-rxpk.json", Push{Frames: []Frame{{
			PHY: unhex(t, "f834b808668309d1bee3c78934cdd56a2fb30e9b11ef53e7f423c0f6e08e37ce"), Timestamp: 3512348611,
			Time: moment("2013-03-31T16:21:17.528002Z"), Frequency: 866_349_812, DataRate: lora(7), RSSI: -35, SNR: 5.1,
		}, {
			PHY: []byte("TEST_PACKET_1234"), Timestamp: 3512348514,
			Time: moment("2013-03-31T16:21:17.530974Z"), Frequency: 869_100_000, DataRate: lorawan.DataRate{BitRate: 50_000}, RSSI: -75,
		}, {
			PHY: unhex(t, "cac811978e76c4d2dea7d4b5353220da5a26283c54827dc327b0c4f9bd3402cb"), Timestamp: 3316387610,
			Time: moment("2013-03-31T16:21:17.532038Z"), Frequency: 863_009_810, DataRate: lora(10), RSSI: -38, SNR: 5.5,
		}}}},
		{"protocol-rsig.json", Push{Frames: []Frame{{
			PHY: []byte("TEST_PACKET_1234"), Timestamp: 3512348514,
			Time: moment("2013-03-31T16:21:17.530974Z"), Frequency: 869_100_000, DataRate: lora(7), RSSI: -90, SNR: -2.8,
		}}}},
		{"antennas-encrypted.json", Push{Frames: []Frame{{
			PHY: unhex(t, "40b8001600804cd9062c66d7f37db0"), Timestamp: 3593099307,
			Time: moment("2022-05-27T09:41:21.091993Z"), Frequency: 867_500_000, DataRate: lora(7), RSSI: -116, SNR: -7,
		}}}},
		{"lr-fhss.json", Push{Frames: []Frame{{
			PHY: unhex(t, "40bc1a01268039300aaabb11223344"), Timestamp: 3512348513,
			Time: moment("2021-11-18T10:41:05.123Z"), GPS: true, Frequency: 865_400_000,
			DataRate: lorawan.DataRate{OccupiedWidth: 137_000, CodingRate: "4/6"}, RSSI: -105,
		}}}},
	} {
		t.Run(c.file, func(t *testing.T) {
			got, err := ParsePush(example(t, c.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func example(t testing.TB, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	data, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
