// Package gatewaytest has what tests of sources need: a suite that every source must pass, a real broker, certificates.
package gatewaytest

import (
	"testing"
	"time"
)

// WaitFor returns once cond holds; the test fails when that takes longer than deadline.
func WaitFor(t testing.TB, deadline time.Duration, what string, cond func() bool) {
	t.Helper()
	late := time.Now().Add(deadline)
	for !cond() {
		if time.Now().After(late) {
			t.Fatalf("waited %s for %s", deadline, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
