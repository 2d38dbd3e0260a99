package lorawan

import (
	"slices"
	"sync"
	"time"

	"github.com/brocaar/lorawan/airtime"
	"github.com/brocaar/lorawan/band"
)

// subBand is a part of the spectrum in which a sender may be on air for a share of the time only.
type subBand struct {
	from, below uint32  // Hz
	share       float64 // of the time
}

// subBands are those of ERC Recommendation 70-03, annex 1, and ETSI EN 300 220, for EU868. Elsewhere no share is known here.
var subBands = []subBand{
	{863_000_000, 865_000_000, 0.001},
	{865_000_000, 868_000_000, 0.01},
	{868_000_000, 868_600_000, 0.01},
	{868_700_000, 869_200_000, 0.001},
	{869_400_000, 869_650_000, 0.1},
	{869_700_000, 870_000_000, 0.01},
}

const (
	budgetTime = time.Hour
	maxBudgets = 4096 // radio gateways and sub-bands
)

// budgets keeps what each radio gateway may still send in each sub-band, and when it sends: one frame at a time.
type budgets struct {
	mu   sync.Mutex
	left map[budgetKey]*budget // guarded by mu
	busy map[string][]span     // by radio gateway, in no order, guarded by mu
}

type budgetKey struct {
	gateway string
	band    int
}

type budget struct {
	left    time.Duration
	updated time.Time
}

// span is when a radio gateway sends.
type span struct{ from, to time.Time }

// attempt is a way to send an answer.
type attempt struct {
	heard   heard
	windows []Window // the first is meant, those behind are for the radio gateway to fall back on
	busy    bool     // the radio gateway sends something else then
}

// slack is how far off the times at which a frame was heard may be between gateway and box.
const slack = 20 * time.Millisecond

// attempts lists the ways to answer in the order in which to try them: first windows before second ones, since these are slow
// and hold the sender up, and in each the gateways in the order given; but those that are busy then come last. Ways for which
// there is no budget are left out.
func (b *budgets) attempts(region *Region, best []heard, windows func(*Reception) []Window, size int, now time.Time) []attempt {
	b.mu.Lock()
	defer b.mu.Unlock()
	var free, busy []attempt
	for second := range 2 {
		for i := range best {
			if best[i].Transmit == nil {
				continue
			}
			all := windows(&best[i].Reception)
			if second >= len(all) {
				continue
			}
			a := attempt{heard: best[i]}
			for _, w := range all[second:] {
				if b.affordsLocked(region, best[i].Gateway, w, size, now) {
					a.windows = append(a.windows, w)
				}
			}
			if len(a.windows) == 0 {
				continue
			}
			if a.busy = b.busyLocked(&a, size, now); a.busy {
				busy = append(busy, a)
			} else {
				free = append(free, a)
			}
		}
	}
	return append(free, busy...)
}

// affordsLocked says whether a radio gateway has time on air left for a frame.
func (b *budgets) affordsLocked(region *Region, gateway string, w Window, size int, now time.Time) bool {
	if region.name != string(band.EU868) {
		return true
	}
	account := b.accountLocked(gateway, w.Frequency, now)
	return account != nil && account.left >= timeOnAir(w.DataRate, size)
}

// span is when an attempt is on air.
func (a *attempt) span(size int) span {
	from := a.heard.Received.Add(a.windows[0].Delay)
	return span{from.Add(-slack), from.Add(timeOnAir(a.windows[0].DataRate, size) + slack)}
}

func (b *budgets) busyLocked(a *attempt, size int, now time.Time) bool {
	spans := slices.DeleteFunc(b.busy[a.heard.Gateway], func(s span) bool { return s.to.Before(now) })
	if len(spans) == 0 {
		delete(b.busy, a.heard.Gateway)
		return false
	}
	b.busy[a.heard.Gateway] = spans
	wanted := a.span(size)
	return slices.ContainsFunc(spans, func(s span) bool { return s.from.Before(wanted.to) && wanted.from.Before(s.to) })
}

// spend notes that an attempt is made.
func (b *budgets) spend(a *attempt, size int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if account := b.accountLocked(a.heard.Gateway, a.windows[0].Frequency, now); account != nil {
		account.left -= timeOnAir(a.windows[0].DataRate, size)
	}
	if b.busy == nil || len(b.busy) >= maxBudgets {
		b.busy = map[string][]span{}
	}
	b.busy[a.heard.Gateway] = append(b.busy[a.heard.Gateway], a.span(size))
}

// accountLocked returns the budget for a frequency, nil where nothing may be sent.
func (b *budgets) accountLocked(gateway string, frequency uint32, now time.Time) *budget {
	for i, part := range subBands {
		if frequency < part.from || frequency >= part.below {
			continue
		}
		full := time.Duration(part.share * float64(budgetTime))
		key := budgetKey{gateway, i}
		account := b.left[key]
		if account == nil {
			if b.left == nil || len(b.left) >= maxBudgets {
				b.left = map[budgetKey]*budget{}
			}
			account = &budget{left: full, updated: now}
			b.left[key] = account
		}
		account.left = min(full, account.left+time.Duration(part.share*float64(max(now.Sub(account.updated), 0))))
		account.updated = now
		return account
	}
	return nil
}

// timeOnAir is how long a downlink takes.
func timeOnAir(rate DataRate, size int) time.Duration {
	if rate.SpreadingFactor == 0 {
		const overhead = 5 + 3 + 1 + 2 // bytes of preamble, synchronisation, length and CRC of an FSK packet
		return time.Duration(float64(8*(size+overhead)) / float64(max(rate.BitRate, 1)) * float64(time.Second))
	}
	slow := rate.SpreadingFactor >= 11 && rate.Bandwidth <= 125
	took, err := airtime.CalculateLoRaAirtime(size, rate.SpreadingFactor, rate.Bandwidth, 8, airtime.CodingRate45, true, slow)
	if err != nil {
		return budgetTime
	}
	return took
}
