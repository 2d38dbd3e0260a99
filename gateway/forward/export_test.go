package forward

import "time"

// SetPatience makes a refused subject go to quarantine sooner than after an hour.
func (n *NATS) SetPatience(after time.Duration, tries int, again time.Duration) {
	n.patience = patience{after: after, tries: tries, again: again}
}

// SetReconnect sets the delay between two tries to connect.
func (n *NATS) SetReconnect(delay time.Duration) {
	n.reconnect = func(int) time.Duration { return delay }
}
