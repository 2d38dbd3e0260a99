package lorawan

import (
	"context"
	"fmt"
	"time"

	"github.com/brocaar/lorawan"
	"github.com/brocaar/lorawan/gps"

	"belfry/gateway"
)

// answer is what may be sent to a device after its uplink is on disk. wanted, down and reply are set by the transaction.
type answer struct {
	feed   *Feed
	device *device
	group  *group

	join *join // the answer to a join-request; else what follows

	keys    sessionKeys
	version lorawan.MACVersion
	frame   dataFrame
	counter uint32 // of the uplink

	wanted bool
	down   uint32 // downlink frame counter
	reply  wishes
}

// send sends answers until ctx is done.
func (f *Feed) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.answers:
		}
		f.mu.Lock()
		answers := f.tosend
		f.tosend = nil
		f.mu.Unlock()
		for _, a := range answers {
			f.Count(a.trySend())
		}
	}
}

// trySend is send, of which a panic costs no other answer.
func (a *answer) trySend() (counted string) {
	defer func() {
		if cause := recover(); cause != nil {
			a.feed.network.Log.Error("an answer cannot be sent", "device", a.device.DevEUI, "err", gateway.NewFault(cause))
			counted = countAnswerFailed
		}
	}()
	return a.send()
}

// send gives the answer to the radio gateway that heard the device best and is free, or the next that takes it. It returns
// what to count.
func (a *answer) send() string {
	region := a.feed.network.region
	phy, err := a.build()
	if err != nil {
		a.feed.network.Log.Error("an answer cannot be built", "device", a.device.DevEUI, "err", err)
		return countAnswerFailed
	}
	best := a.group.best()
	now := time.Now()
	attempts := a.feed.network.budgets.attempts(region, best, a.windows, len(phy), now)
	for i := range attempts {
		if attempts[i].heard.Transmit(Downlink{DevEUI: a.device.DevEUI, PHY: phy, Windows: attempts[i].windows}) == nil {
			a.feed.network.budgets.spend(&attempts[i], len(phy), now)
			return countAnswers
		}
	}
	if len(attempts) == 0 && canSend(best) {
		return countAnswerAirtime
	}
	return countAnswerFailed
}

func (a *answer) build() ([]byte, error) {
	if a.join != nil {
		return a.join.accept(a.feed.network.region)
	}
	return a.data()
}

// windows are when the device listens, by how one of the radio gateways heard it.
func (a *answer) windows(r *Reception) []Window {
	region := a.feed.network.region
	first, second := region.rx1Delay, region.rx2DataRate
	if a.join != nil { // until its answer tells the device otherwise
		first, second = region.joinDelay(), region.joinDataRate()
	}
	var windows []Window
	if frequency, rate, err := region.rx1(r); err == nil {
		windows = append(windows, Window{Delay: first, Frequency: frequency, DataRate: rate, Power: region.power(frequency)})
	}
	if rate, err := region.DataRate(second); err == nil {
		windows = append(windows, Window{
			Delay: first + time.Second, Frequency: region.rx2Frequency, DataRate: rate, Power: region.power(region.rx2Frequency),
		})
	}
	return windows
}

// data builds a downlink without a payload: an acknowledgement, and what MAC commands ask for in its options.
func (a *answer) data() ([]byte, error) {
	mac := &lorawan.MACPayload{FHDR: lorawan.FHDR{
		DevAddr: a.frame.address(), FCtrl: lorawan.FCtrl{ACK: a.reply.acknowledge}, FCnt: a.down, FOpts: a.commands(),
	}}
	phy := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.UnconfirmedDataDown, Major: lorawan.LoRaWANR1}, MACPayload: mac}
	if a.version == lorawan.LoRaWAN1_1 {
		if err := phy.EncryptFOpts(a.keys.encrypt); err != nil {
			return nil, fmt.Errorf("encrypt options: %w", err)
		}
	}
	if err := phy.SetDownlinkDataMIC(a.version, a.counter, a.keys.serve); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return phy.MarshalBinary()
}

// commands are the MAC commands of the answer, at most 13 bytes of 15.
func (a *answer) commands() (options []lorawan.Payload) {
	add := func(command lorawan.CID, payload lorawan.MACCommandPayload) {
		options = append(options, &lorawan.MACCommand{CID: command, Payload: payload})
	}
	best := a.group.best()
	if a.reply.linkCheck {
		add(lorawan.LinkCheckAns, &lorawan.LinkCheckAnsPayload{Margin: margin(&best[0].Reception), GwCnt: uint8(min(a.group.gateways(), 255))})
	}
	if at := heardAt(best, a.group); a.reply.time && at.After(joinNonceEpoch) { // a box without a clock says nothing
		add(lorawan.DeviceTimeAns, &lorawan.DeviceTimeAnsPayload{TimeSinceGPSEpoch: gps.Time(at).TimeSinceGPSEpoch()})
	}
	if a.reply.rekey {
		add(lorawan.RekeyConf, &lorawan.RekeyConfPayload{ServLoRaWANVersion: lorawan.Version{Minor: minorVersion}})
	}
	if a.reply.reset {
		add(lorawan.ResetConf, &lorawan.ResetConfPayload{ServLoRaWANVersion: lorawan.Version{Minor: minorVersion}})
	}
	return options
}

const minorVersion = 1 // LoRaWAN 1.1

// heardAt is when the uplink ended: by a radio gateway's GPS where that can be, else by the box's clock. What other clocks
// radio gateways have nobody knows.
func heardAt(best []heard, g *group) time.Time {
	received := earliest(g)
	for i := range best {
		if at := best[i].Time; best[i].GPS && !at.IsZero() && at.Sub(received).Abs() < time.Minute {
			return at
		}
	}
	return received
}

// floors are the least ratios of signal to noise that can be read, in dB, by spreading factor 7 to 12 (SX1301 data sheet).
var floors = [...]float64{-7.5, -10, -12.5, -15, -17.5, -20}

// margin is how many dB a reception was above what can be read, as LinkCheckAns tells it.
func margin(r *Reception) uint8 {
	sf := r.DataRate.SpreadingFactor
	if sf < 7 || sf > 12 {
		return 0
	}
	return uint8(min(max(r.SNR-floors[sf-7], 0), 254))
}
