package source

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/integration"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// BenchmarkParseChirpStack says why the JSON is read with gjson: encoding/json, which notices neither a doubled name nor
// one in the wrong case, takes the time given as "encoding/json".
func BenchmarkParseChirpStack(b *testing.B) {
	text := []byte(UplinkJSON("0a1b2c3d4e5f"))
	b.Run("json", func(b *testing.B) { benchmarkParse(b, text) })
	b.Run("protobuf", func(b *testing.B) {
		var message integration.UplinkEvent
		if err := protojson.Unmarshal(text, &message); err != nil {
			b.Fatal(err)
		}
		packed, err := proto.Marshal(&message)
		if err != nil {
			b.Fatal(err)
		}
		benchmarkParse(b, packed)
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var e struct {
				DeduplicationID string `json:"deduplicationId"`
				Time            time.Time
				DeviceInfo      struct{ DevEui string }
				DevAddr         string
				FCnt            uint32
				FPort           uint8
				Data            []byte
				RxInfo          []struct {
					GwTime time.Time
					Rssi   int
					Snr    float64
				}
				TxInfo struct {
					Modulation struct{ Lora struct{ SpreadingFactor int } }
				}
			}
			if err := json.Unmarshal(text, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchmarkParse(b *testing.B, payload []byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if _, err := parseChirpEvent("up", payload); err != nil {
			b.Fatal(err)
		}
	}
}
