package lorawan

import (
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

// budgets keeps what each radio gateway may still send in each sub-band.
type budgets struct {
	mu   sync.Mutex
	left map[budgetKey]*budget // guarded by mu
}

type budgetKey struct {
	gateway string
	band    int
}

type budget struct {
	left    time.Duration
	updated time.Time
}

// allow returns the windows in which a radio gateway may still send a frame of size bytes, and takes the time on air of the
// first of them from its budget.
func (b *budgets) allow(region *Region, gateway string, windows []Window, size int, now time.Time) (allowed []Window) {
	if region.name != string(band.EU868) {
		return windows
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range windows {
		onAir := timeOnAir(w.DataRate, size)
		account := b.accountLocked(gateway, w.Frequency, now)
		if account == nil || account.left < onAir {
			continue
		}
		if len(allowed) == 0 {
			account.left -= onAir
		}
		allowed = append(allowed, w)
	}
	return allowed
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
