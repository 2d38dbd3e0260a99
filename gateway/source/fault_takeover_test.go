package source_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"belfry/gateway"
	"belfry/gateway/gatewaytest"
)

// F20: another client with our id takes over three times in a minute, each time after a while. The reason says what it is
// and what to do, and asks for a slower pause.
func TestTakeoversInAMinuteAreNamed(t *testing.T) {
	t.Parallel()
	broker := gatewaytest.StartMosquitto(t, "")
	s := bins(t, broker.Address(), nil)
	for i := range 4 {
		running := gatewaytest.Run(t, s, gatewaytest.NewReceiver(false))
		if i == 1 {
			time.Sleep(6 * time.Second) // it need not happen at once
		}
		other := gatewaytest.Run(t, bins(t, broker.Address(), nil), gatewaytest.NewReceiver(false)) // with the same id
		err := running.Ended(t)
		if contested := errors.Is(err, gateway.ErrContested); contested != (i >= 2) {
			t.Errorf("takeover %d: %v", i+1, err)
		}
		if i == 2 && (!strings.Contains(err.Error(), `client_id "belfry-box-test"`) || !strings.Contains(err.Error(), "give each its own")) {
			t.Errorf("the reason does not say what to do: %v", err)
		}
		other.Stop(t)
	}
}
