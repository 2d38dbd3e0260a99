package decoders

import "testing"

func TestEveryRowOfBitsInAWattecoBatchBeginsWithACode(t *testing.T) {
	for table := range wattecoMeanings {
		for row, code := range wattecoMeanings[table] {
			if code.bits == 0 {
				t.Errorf("table %d, bits %011b: no code", table, row)
			}
		}
		places := 0
		for _, code := range wattecoHuffman[table] {
			places += 1 << (wattecoMaxCode - code.bits)
		}
		if places != 1<<wattecoMaxCode {
			t.Errorf("table %d: codes for %d of %d rows, so one hides another", table, places, 1<<wattecoMaxCode)
		}
	}
}
