// Package lorawan turns the radio frames that gateways hear into uplinks, without a network server: it collects the copies
// of a frame, finds its session, checks and decrypts it, answers joins and what the specification wants answered. What it
// must remember commits in the store's transaction with the event it belongs to. It knows no transport.
package lorawan
