package source

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"belfry/gateway"
)

// SetClock gives a source of kind "semtech-udp" another clock.
func SetClock(s gateway.Source, now func() time.Time) { s.(*semtechSource).now = now }

func TestEveryMistakeInTheOptionsOfRadioGatewaysIsNamed(t *testing.T) {
	const eui = "b827ebfffe010203"
	good := func(change func(*SemtechOptions)) func(*SemtechOptions) {
		return func(o *SemtechOptions) {
			o.Listen = "127.0.0.1:1700"
			o.Gateways = []ForwarderOptions{{EUI: eui}}
			change(o)
		}
	}
	listen := func(address string) func(*SemtechOptions) {
		return good(func(o *SemtechOptions) { o.Listen = address })
	}
	gateways := func(list ...ForwarderOptions) func(*SemtechOptions) {
		return good(func(o *SemtechOptions) { o.Gateways = list })
	}
	for _, c := range []struct {
		name string
		set  func(*SemtechOptions)
		want []string // keys
	}{
		{"nothing wrong", good(func(*SemtechOptions) {}), nil},
		{"nothing set", func(*SemtechOptions) {}, []string{"listen", "gateways"}},
		{"all addresses, as written", listen("0.0.0.0:1700"), nil},
		{"all addresses, IPv6, as written", listen("[::]:1700"), nil},
		{"all addresses, by saying nothing", listen(":1700"), []string{"listen"}},
		{"no port", listen("127.0.0.1"), []string{"listen"}},
		{"port 0", listen("127.0.0.1:0"), []string{"listen"}},
		{"port too large", listen("127.0.0.1:65536"), []string{"listen"}},
		{"port by name", listen("127.0.0.1:lora"), []string{"listen"}},
		{"separators", gateways(ForwarderOptions{EUI: "B8-27-EB-FF-FE-01-02-03", Address: "10.0.0.0/8"}), nil},
		{"addresses", gateways(ForwarderOptions{EUI: eui, Address: "fd00::1"}, ForwarderOptions{EUI: "0102030405060708", Address: "10.0.0.1"}), nil},
		{"no EUI", gateways(ForwarderOptions{}), []string{"gateways[0].eui"}},
		{"short EUI", gateways(ForwarderOptions{EUI: "b827eb010203"}), []string{"gateways[0].eui"}},
		{"EUI with other letters", gateways(ForwarderOptions{EUI: "g827ebfffe010203"}), []string{"gateways[0].eui"}},
		{"twice", gateways(ForwarderOptions{EUI: eui}, ForwarderOptions{EUI: "B8:27:EB:FF:FE:01:02:03"}), []string{"gateways[1].eui"}},
		{"names", gateways(ForwarderOptions{EUI: eui, Address: "roof.example"}), []string{"gateways[0].address"}},
		{"all that can be wrong", func(o *SemtechOptions) {
			o.Gateways = []ForwarderOptions{{EUI: "x", Address: "10.0.0.0/33"}}
			o.ReceiveBuffer, o.Rate, o.Queue = 0, 0, 1
		}, []string{"listen", "gateways[0].address", "gateways[0].eui", "receive_buffer", "rate", "queue"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newSemtech(Env{Name: "roofs", Log: slog.New(slog.DiscardHandler)}, func(options any) error {
				c.set(options.(*SemtechOptions))
				return nil
			})
			if got := keys(err); !slices.Equal(got, c.want) {
				t.Errorf("got mistakes in %v, want %v (%v)", got, c.want, err)
			}
		})
	}
}

func TestATokenBucketRefills(t *testing.T) {
	bucket, now := newTokenBucket(10, 20), time.Now()
	take := func(n int) (taken int) {
		for range n {
			if bucket.take(now) {
				taken++
			}
		}
		return taken
	}
	if got := take(30); got != 20 {
		t.Errorf("%d at once, want 20", got)
	}
	now = now.Add(time.Second)
	if got := take(30); got != 10 {
		t.Errorf("%d after a second, want 10", got)
	}
	now = now.Add(-time.Hour)
	if got := take(1); got != 0 {
		t.Errorf("the clock went back, and %d was let through", got)
	}
}

func TestWhatWaitsIsBoundedAndInOrder(t *testing.T) {
	q := newDatagramQueue(100 * datagramOverhead)
	accepted := 0
	for i := range 200 {
		var d datagram
		d.Token[0] = byte(i)
		if q.push(d) {
			accepted++
		}
	}
	if accepted != 100 {
		t.Errorf("%d were taken, want 100", accepted)
	}
	for i := range 100 {
		if d, ok := q.next(true); !ok || int(d.Token[0]) != i {
			t.Fatalf("got %d, %v; want %d", d.Token[0], ok, i)
		}
	}
	if _, ok := q.next(true); ok || q.used != 0 {
		t.Errorf("something is left, %d bytes", q.used)
	}
}
