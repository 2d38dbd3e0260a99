package source_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	radio "github.com/brocaar/lorawan"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/gatewaytest"
	"belfry/gateway/lorawan"
	"belfry/gateway/source"
)

const (
	radioEUI     = "70b3d5e75e00a1f2"
	radioAddr    = "26011f42"
	radioGateway = "0016c001f153a14c"
)

var (
	radioNetworkKey     = lorawan.Key{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	radioApplicationKey = lorawan.Key{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
)

// radioEnv is a testEnv with a radio network that knows one device.
func radioEnv(t testing.TB) source.Env {
	t.Helper()
	return radioEnvOn(t, new(memory))
}

func radioEnvOn(t testing.TB, store *memory) source.Env {
	t.Helper()
	network, err := lorawan.New(lorawan.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	network.SetDevices([]lorawan.Device{{
		DevEUI: radioEUI, DevAddr: radioAddr, NwkSKey: &radioNetworkKey, AppSKey: &radioApplicationKey,
	}})
	network.Restore(store)
	env := testEnv(t)
	env.Network = network
	return env
}

// memory is a store of state only.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte // guarded by mu
}

func (m *memory) State(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key]
}

func (m *memory) EachState(prefix string, f func(key string, value []byte)) {
	m.mu.Lock()
	all := maps.Clone(m.values)
	m.mu.Unlock()
	for key, value := range all {
		if strings.HasPrefix(key, prefix) {
			f(key, value)
		}
	}
}

// SetState, Append, Mark and Discard make it a gateway.Transaction too, which takes counters and nothing else.
func (m *memory) SetState(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	m.values[key] = slices.Clone(value)
}

func (m *memory) Append(buffer.Lane, []byte) buffer.Seq { return 0 }
func (m *memory) Mark(buffer.Mark) bool                 { return false }
func (m *memory) Discard(string)                        {}

// claiming is a source whose uplinks take their counters before they are handed over, as in the store.
type claiming struct {
	gateway.Source
	store *memory

	mu      sync.Mutex
	claimed []gateway.Claimed // guarded by mu
}

func (c *claiming) Run(ctx context.Context, emit gateway.Emit, ready func(error)) error {
	return c.Source.Run(ctx, func(ctx context.Context, uplinks []gateway.Uplink, done func(error)) error {
		c.mu.Lock()
		for i := range uplinks {
			if uplinks[i].Claim != nil {
				c.claimed = append(c.claimed, uplinks[i].Claim(c.store))
			}
		}
		c.mu.Unlock()
		return emit(ctx, uplinks, done)
	}, ready)
}

// wait waits for the n-th claim.
func (c *claiming) wait(t testing.TB, n int) gateway.Claimed {
	t.Helper()
	var claimed gateway.Claimed
	gatewaytest.WaitFor(t, deadline, "a claim", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.claimed) < n {
			return false
		}
		claimed = c.claimed[n-1]
		return true
	})
	return claimed
}

// radioFrame is the PHYPayload of the device's uplink with a counter.
func radioFrame(counter uint32, confirmed bool, payload ...byte) []byte {
	address, err := hex.DecodeString(radioAddr)
	if err != nil {
		panic(err)
	}
	port := uint8(2)
	frame := radio.PHYPayload{
		MHDR: radio.MHDR{MType: radio.UnconfirmedDataUp, Major: radio.LoRaWANR1},
		MACPayload: &radio.MACPayload{
			FHDR:  radio.FHDR{DevAddr: radio.DevAddr(address), FCnt: counter},
			FPort: &port, FRMPayload: []radio.Payload{&radio.DataPayload{Bytes: payload}},
		},
	}
	if confirmed {
		frame.MHDR.MType = radio.ConfirmedDataUp
	}
	if err := frame.EncryptFRMPayload(radio.AES128Key(radioApplicationKey)); err != nil {
		panic(err)
	}
	key := radio.AES128Key(radioNetworkKey)
	if err := frame.SetUplinkDataMIC(radio.LoRaWAN1_0, 0, 0, 0, key, key); err != nil {
		panic(err)
	}
	packed, err := frame.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return packed
}

// bridgeEvent is a frame as the gateway bridge v4 publishes it.
func bridgeEvent(phy []byte) []byte { return bridgeEventAt(phy, "2026-01-14T17:02:10.410Z") }

// bridgeEventAt is one that the radio gateway heard at a time.
func bridgeEventAt(phy []byte, at string) []byte {
	return fmt.Appendf(nil, `{"phyPayload":"%s","txInfo":{"frequency":868100000,"modulation":{"lora":{"bandwidth":125000,`+
		`"spreadingFactor":7,"codeRate":"CR_4_5"}}},"rxInfo":{"gatewayId":"%s","uplinkId":7895,`+
		`"gwTime":"%s","rssi":-52,"snr":13.75,"context":"xwx0GQ==","crcStatus":"CRC_OK"}}`,
		base64.StdEncoding.EncodeToString(phy), radioGateway, at)
}
