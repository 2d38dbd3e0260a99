package station

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belfry/gateway/lorawan"
)

var now = time.Date(2026, 1, 14, 17, 2, 10, 250_000_000, time.UTC)

func region(t *testing.T, name string, extra ...uint32) *lorawan.Region {
	t.Helper()
	options := lorawan.Defaults()
	options.Region, options.Channels = name, extra
	network, err := lorawan.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return network.Region()
}

// indented makes a readable difference of two JSON texts that must have the same members in the same order.
func indented(t *testing.T, text []byte) string {
	t.Helper()
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(json.RawMessage(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func want(t *testing.T, got []byte, text string) {
	t.Helper()
	if diff := cmp.Diff(indented(t, []byte(text)), indented(t, got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestGPSTimeHasLeapSeconds has the two times that a station gave for one frame: GPS and, less exact, its own clock.
func TestGPSTimeHasLeapSeconds(t *testing.T) {
	const gps, unix = 1355505632761772, 1671470414687880
	if got := FromGPS(gps); got.Sub(time.UnixMicro(unix)).Abs() > 100*time.Millisecond {
		t.Errorf("got %s", got)
	}
	if got := ToGPS(FromGPS(gps)); got != gps {
		t.Errorf("got %d, want %d", got, gps)
	}
	if got := ToGPS(time.Date(2026, 1, 14, 0, 0, 0, 0, time.UTC)); got != 1452384018000000 {
		t.Errorf("got %d", got)
	}
	for _, gps := range []int64{-1, 1 << 62} {
		if got := FromGPS(gps); !got.IsZero() {
			t.Errorf("%d: got %s, want none", gps, got)
		}
	}
}

func TestTimeIsAnswered(t *testing.T) {
	want(t, TimeSyncAnswer(TimeSync{TxTime: 1023024197000}, now),
		`{"msgtype":"timesync","txtime":1023024197000,"gpstime":1452445348250000,"MuxTime":1768410130.25}`)
	want(t, ErrorMessage("protocol 1"), `{"msgtype":"error","error":"protocol 1"}`)
}

func TestDownlinkHasBothWindows(t *testing.T) {
	eu := region(t, "EU868")
	down := lorawan.Downlink{
		DevEUI: "00afee7cf5ed6f1e", PHY: []byte{0x20, 0xab},
		Windows: []lorawan.Window{
			{Delay: 5 * time.Second, Frequency: 868_100_000, DataRate: lorawan.DataRate{SpreadingFactor: 7, Bandwidth: 125}, Power: 14},
			{Delay: 6 * time.Second, Frequency: 869_525_000, DataRate: lorawan.DataRate{SpreadingFactor: 12, Bandwidth: 125}, Power: 27},
		},
	}
	context := Context{RCtx: 1, XTime: 51791395861065770}
	got, err := Downlink(eu, down, context, 35, now)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, `{"msgtype":"dnmsg","DevEui":"00-AF-EE-7C-F5-ED-6F-1E","dC":0,"diid":35,"pdu":"20ab","RxDelay":5,"RX1DR":5,
		"RX1Freq":868100000,"RX2DR":0,"RX2Freq":869525000,"priority":1,"xtime":51791395861065770,"rctx":1,"MuxTime":1768410130.25}`)

	down.Windows = down.Windows[1:]
	if got, err = Downlink(eu, down, context, 36, now); err != nil {
		t.Fatal(err)
	}
	want(t, got, `{"msgtype":"dnmsg","DevEui":"00-AF-EE-7C-F5-ED-6F-1E","dC":0,"diid":36,"pdu":"20ab","RxDelay":6,"RX1DR":0,
		"RX1Freq":869525000,"priority":1,"xtime":51791395861065770,"rctx":1,"MuxTime":1768410130.25}`)
}

func TestDownlinkThatCannotBeSaidIsRefused(t *testing.T) {
	eu, rate := region(t, "EU868"), lorawan.DataRate{SpreadingFactor: 7, Bandwidth: 125}
	window := func(delay time.Duration, rate lorawan.DataRate) []lorawan.Window {
		return []lorawan.Window{{Delay: delay, Frequency: 868_100_000, DataRate: rate}}
	}
	good := lorawan.Downlink{DevEUI: "00afee7cf5ed6f1e", PHY: []byte{1}, Windows: window(time.Second, rate)}
	for name, spoil := range map[string]func(*lorawan.Downlink){
		"no window":     func(d *lorawan.Downlink) { d.Windows = nil },
		"no frame":      func(d *lorawan.Downlink) { d.PHY = nil },
		"long frame":    func(d *lorawan.Downlink) { d.PHY = make([]byte, 256) },
		"no device":     func(d *lorawan.Downlink) { d.DevEUI = "" },
		"at once":       func(d *lorawan.Downlink) { d.Windows = window(0, rate) },
		"late":          func(d *lorawan.Downlink) { d.Windows = window(16*time.Second, rate) },
		"half a second": func(d *lorawan.Downlink) { d.Windows = window(1500*time.Millisecond, rate) },
		"other region's": func(d *lorawan.Downlink) {
			d.Windows = window(time.Second, lorawan.DataRate{SpreadingFactor: 7, Bandwidth: 500})
		},
	} {
		down := good
		spoil(&down)
		if got, err := Downlink(eu, down, Context{}, 1, now); err == nil {
			t.Errorf("%s: got %s, want an error", name, got)
		}
	}
}

func TestEuropeIsSetUpCompletely(t *testing.T) {
	config, err := NewRouterConfig(region(t, "EU868", lorawan.DefaultChannels("EU868")...))
	if err != nil {
		t.Fatal(err)
	}
	want(t, config.Encode(now), `{"msgtype":"router_config","NetID":null,"JoinEui":null,"region":"EU863","hwspec":"sx1301/1",
		"freq_range":[863000000,870000000],
		"DRs":[[12,125,0],[11,125,0],[10,125,0],[9,125,0],[8,125,0],[7,125,0],[7,250,0],[0,0,0],[-1,0,0],[-1,0,0],[-1,0,0],
			[-1,0,0],[-1,0,0],[-1,0,0],[-1,0,0],[-1,0,0]],
		"sx1301_conf":[{
			"chan_FSK":{"enable":true,"radio":1,"if":300000,"bandwidth":125000,"datarate":50000},
			"chan_Lora_std":{"enable":true,"radio":1,"if":-200000,"bandwidth":250000,"spread_factor":7},
			"chan_multiSF_0":{"enable":true,"radio":0,"if":-400000},"chan_multiSF_1":{"enable":true,"radio":0,"if":-200000},
			"chan_multiSF_2":{"enable":true,"radio":0,"if":0},"chan_multiSF_3":{"enable":true,"radio":0,"if":200000},
			"chan_multiSF_4":{"enable":true,"radio":0,"if":400000},"chan_multiSF_5":{"enable":true,"radio":1,"if":-400000},
			"chan_multiSF_6":{"enable":true,"radio":1,"if":-200000},"chan_multiSF_7":{"enable":true,"radio":1,"if":0},
			"radio_0":{"enable":true,"freq":867500000},"radio_1":{"enable":true,"freq":868500000}}],
		"max_eirp":16,"protocol":1,"MuxTime":1768410130.25}`)
}

func TestOneRadioIsEnoughForThreeChannels(t *testing.T) {
	config, err := NewRouterConfig(region(t, "EU868"))
	if err != nil {
		t.Fatal(err)
	}
	radios := config.Radios[0]
	if radios["radio_0"] != (radioConf{true, 868_500_000}) || radios["radio_1"] != (radioConf{}) || radios["chan_multiSF_3"] != (disabled{}) {
		t.Errorf("got %v", radios)
	}
}

// TestChannelsAreWhereTheyAre adds up what a station adds up, for every region whose channels it can hear.
func TestChannelsAreWhereTheyAre(t *testing.T) {
	heard := 0
	for _, name := range lorawan.Regions() {
		plan := region(t, name, lorawan.DefaultChannels(name)...)
		config, err := NewRouterConfig(plan)
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		heard++
		var got []uint32
		for i := range multiChannels {
			channel, ok := config.Radios[0]["chan_multiSF_"+string(rune('0'+i))].(channelConf)
			if !ok {
				continue
			}
			radio := config.Radios[0]["radio_"+string(rune('0'+channel.Radio))].(radioConf)
			if !radio.Enable || max(channel.Offset, -channel.Offset) > maxOffset {
				t.Errorf("%s: channel %d: %+v at %+v", name, i, channel, radio)
			}
			got = append(got, uint32(int64(radio.Frequency)+channel.Offset))
		}
		want := plan.Channels()
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got channels %v, want %v", name, got, want)
		}
		if len(config.Region) < 5 || config.Frequency[0] >= config.Frequency[1] || config.MaxEIRP == 0 {
			t.Errorf("%s: got %+v", name, config)
		}
	}
	if heard < 8 {
		t.Errorf("got %d regions, want more", heard)
	}
}

func TestDownlinkOnlyRatesAreMarked(t *testing.T) {
	table := rates(region(t, "US915"))
	for i, want := range map[int][3]int{0: {10, 125, 0}, 4: {8, 500, 0}, 7: {-1, 0, 0}, 8: {12, 500, 1}, 12: {8, 500, 1}, 13: {7, 500, 1}, 15: {-1, 0, 0}} {
		if table[i] != want {
			t.Errorf("data rate %d: got %v, want %v", i, table[i], want)
		}
	}
}

func TestChannelsThatOneStationCannotHearAreNamed(t *testing.T) {
	for _, c := range []struct {
		region string
		extra  []uint32
		want   string
	}{
		{"US915", nil, "region US915: 72 channels, a station hears 8"},
		{"ISM2400", nil, "region ISM2400 is none that Basics Station knows"},
		{"EU868", []uint32{867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000, 868_800_000}, "9 channels"},
		{"EU868", []uint32{863_100_000, 865_500_000}, "the channels from 868100000 Hz on are too far"},
		{"EU868", []uint32{872_000_000}, "not between 863000000 and 870000000 Hz"},
	} {
		config, err := NewRouterConfig(region(t, c.region, c.extra...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: got %v, %v, want %q", c.region, c.extra, config, err, c.want)
		}
	}
}
