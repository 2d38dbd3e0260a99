package demo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/common"
	"github.com/chirpstack/chirpstack/api/go/v4/gw"
	"github.com/chirpstack/chirpstack/api/go/v4/integration"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// network is the town's ChirpStack: it hears the sensors and publishes its events.
type network struct {
	random      *rand.Rand
	tenant      string
	application string
	turn        int // how many sensors have reported
}

func newNetwork(random *rand.Rand) *network {
	n := &network{random: random}
	n.tenant, n.application = n.uuid(), n.uuid()
	return n
}

// uuid draws a random UUID (RFC 9562, version 4).
func (n *network) uuid() string {
	high, low := n.random.Uint64(), n.random.Uint64()
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&0xffffffffffff)
}

// radio is the LoRaWAN session of one device as the network server keeps it.
type radio struct {
	network  *network
	sensor   Sensor
	protobuf bool // the integration writes protobuf instead of JSON
	battery  bool // the device has one, and tells when asked
	address  string
	counter  uint32
	rssi     int32
	factor   uint32
	level    float64 // of the battery, percent
}

func (n *network) newRadio(sensor Sensor, protobuf bool) *radio {
	return &radio{
		network: n, sensor: sensor, protobuf: protobuf, address: n.address(), counter: n.random.Uint32N(20000),
		rssi: -70 - n.random.Int32N(45), factor: 7 + n.random.Uint32N(4), level: 60 + float64(n.random.IntN(40)),
	}
}

func (n *network) address() string { return fmt.Sprintf("01%06x", n.random.Uint32N(1<<24)) }

// wrap makes the event of one uplink.
func (r *radio) wrap(report *report, m moment) Message {
	r.counter++
	id, heard := r.network.uuid(), m.now
	event := &integration.UplinkEvent{
		DeduplicationId: id, Time: timestamppb.New(heard), DeviceInfo: r.info(), DevAddr: r.address, Adr: true,
		Dr: 12 - r.factor, FCnt: r.counter, FPort: uint32(report.port), Data: report.payload,
		RxInfo: r.receptions(heard), RegionConfigId: "eu868",
		TxInfo: &gw.UplinkTxInfo{Frequency: 868100000 + 200000*(r.counter%3), Modulation: &gw.Modulation{
			Parameters: &gw.Modulation_Lora{Lora: &gw.LoraModulationInfo{
				Bandwidth: 125000, SpreadingFactor: r.factor, CodeRate: gw.CodeRate_CR_4_5,
			}},
		}},
	}
	for i := range report.observations {
		if report.observations[i].Time.IsZero() {
			report.observations[i].Time = heard
		}
	}
	return r.message("up", event, Expect{Identity: id, Counter: r.counter, Observations: report.observations})
}

// chatter is what the network server tells of a device beside its uplinks, now and then: a status, a new join.
func (r *radio) chatter(m moment) []Message {
	var messages []Message
	if r.battery && r.network.random.IntN(40) == 0 {
		r.level = max(r.level-float64(r.network.random.IntN(2)), 1)
		id := r.network.uuid()
		messages = append(messages, r.message("status", &integration.StatusEvent{
			DeduplicationId: id, Time: timestamppb.New(m.now), DeviceInfo: r.info(),
			Margin: 5 + r.network.random.Int32N(20), BatteryLevel: float32(r.level),
		}, Expect{Identity: id, Observations: []Observation{
			{Time: m.now, Values: map[string]float64{"battery_level": r.level}},
		}}))
	}
	if r.network.random.IntN(150) == 0 {
		r.address, r.counter = r.network.address(), 0
		id := r.network.uuid()
		messages = append(messages, r.message("join", &integration.JoinEvent{
			DeduplicationId: id, Time: timestamppb.New(m.now), DeviceInfo: r.info(), DevAddr: r.address, RegionConfigId: "eu868",
		}, Expect{Identity: id}))
	}
	return messages
}

func (r *radio) info() *integration.DeviceInfo {
	return &integration.DeviceInfo{
		TenantId: r.network.tenant, TenantName: "Belfry-sur-Seine", ApplicationId: r.network.application,
		ApplicationName: r.sensor.Service, DeviceProfileName: r.sensor.Model, DeviceName: r.sensor.ID, DevEui: r.sensor.Device,
		DeviceClassEnabled: common.DeviceClass_CLASS_A,
	}
}

// receptions are one to three gateways that heard the same frame.
func (r *radio) receptions(heard time.Time) []*gw.UplinkRxInfo {
	random := r.network.random
	rxInfo := make([]*gw.UplinkRxInfo, 1+random.IntN(3)/2)
	for i := range rxInfo {
		rssi := r.rssi - random.Int32N(8) - 12*int32(i)
		context := make([]byte, 4)
		for j := range context {
			context[j] = byte(random.Uint32())
		}
		rxInfo[i] = &gw.UplinkRxInfo{
			GatewayId: "02be1f0000a0" + hex.EncodeToString([]byte{0, byte(i + 1)}), UplinkId: random.Uint32(),
			NsTime: timestamppb.New(heard), Rssi: rssi, Snr: float32(rssi+105) / 4, Channel: r.counter % 8, RfChain: 1,
			Context: context, CrcStatus: gw.CRCStatus_CRC_OK,
		}
	}
	return rxInfo
}

func (r *radio) message(kind string, event proto.Message, expect Expect) Message {
	topic := "application/" + r.network.application + "/device/" + r.sensor.Device + "/event/" + kind
	return Message{Topic: topic, Payload: r.encode(event), Sensor: r.sensor.ID, Expect: expect}
}

// encode writes an event as the integration is set up to.
func (r *radio) encode(event proto.Message) []byte {
	if r.protobuf {
		packed, err := proto.MarshalOptions{Deterministic: true}.Marshal(event)
		if err != nil {
			panic(err) // every text in it is valid UTF-8
		}
		return packed
	}
	packed, err := protojson.Marshal(event)
	if err != nil {
		panic(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, packed); err != nil { // protojson adds spaces at random
		panic(err)
	}
	return compact.Bytes()
}
