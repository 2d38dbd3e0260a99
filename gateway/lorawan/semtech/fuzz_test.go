package semtech

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"
)

func FuzzDatagram(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		f.Add(append(bytes.Clone(head), example(f, filepath.Base(file))...))
	}
	for _, c := range hostile {
		f.Add(append(bytes.Clone(head), c.body...))
	}
	for _, body := range []string{"", `{"txpk_ack":{"error":"NONE"}}`, `{"txpk_ack":{"warn":"TX_POWER","value":20}}`} {
		f.Add(append(headOf(2, byte(TxAck)), body...))
	}
	f.Add(headOf(2, byte(PullData)))
	f.Add(headOf(3, 0))
	f.Add(head[:7])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		d, err := Parse(datagram)
		if err != nil {
			return
		}
		if _, err := ParseTxAck(d.Body); err != nil && err.Error() == "" {
			t.Error("error without a reason")
		}
		push, err := ParsePush(d.Body)
		if err != nil {
			return
		}
		if len(push.Frames)+len(push.Faults)+push.BadCRC > MaxFrames {
			t.Errorf("%d frames, %d faults, %d garbled", len(push.Frames), len(push.Faults), push.BadCRC)
		}
		for _, frame := range push.Frames {
			if n := len(frame.PHY); n < minPHY || n > maxPHY {
				t.Errorf("frame of %d bytes", n)
			}
			if frame.Frequency < 1e6 || math.IsNaN(frame.SNR) || math.Abs(frame.SNR) > maxLevel || frame.RSSI > maxLevel || frame.RSSI < -maxLevel {
				t.Errorf("got %+v", frame)
			}
			send := Transmission{PHY: frame.PHY, Timestamp: frame.Timestamp, Frequency: frame.Frequency, DataRate: frame.DataRate}
			if _, err := send.PullResp(d.Token); err != nil && frame.DataRate.OccupiedWidth == 0 {
				t.Errorf("what was received cannot be sent: %v", err)
			}
		}
	})
}
