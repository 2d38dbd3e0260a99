package main

import (
	"path/filepath"
	"testing"

	"belfry/buffer"
)

// checkLedger holds the ledger of a gateway that has stopped against the ids on its stream: it must balance, and what it
// says was published must be there. It is the one checker of the end-to-end tests.
func (w *town) checkLedger(t *testing.T, onStream map[string]int) {
	t.Helper()
	store, err := buffer.Open(buffer.Options{Dir: filepath.Join(w.dir, "data"), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ledger := store.Stats().Ledger
	if err := ledger.Balance(); err != nil {
		t.Errorf("the ledger does not balance: %v", err)
	}
	published := ledger.Released + ledger.Held
	if ledger.Pending == 0 && published != uint64(len(onStream)) || published > uint64(len(onStream)) {
		t.Errorf("the ledger has %d events published and %d pending, the stream has %d", published, ledger.Pending, len(onStream))
	}
	if ledger.Lost > 0 {
		t.Errorf("the ledger has %d records lost", ledger.Lost)
	}
}
