package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// sender publishes what the sensors of a town send, with QoS 1, and remembers it: all of it was acknowledged by the broker
// once stop has returned without an error, and must arrive.
type sender struct {
	client  mqtt.Client
	random  *rand.Rand
	sensors int
	rate    int // messages a second

	end     chan struct{}
	running sync.WaitGroup

	// Only the goroutine of run touches these until it has ended.
	tokens []mqtt.Token
	sent   [][]time.Time // of each sensor's messages, from number 1 on, what they say when they were sent
	spoilt int           // messages that cannot be decoded
}

const flushLimit = time.Minute

// startSender connects to the broker and begins to send.
func startSender(address string, sensors, rate int, random *rand.Rand) (*sender, error) {
	options := mqtt.NewClientOptions().AddBroker(address).SetClientID("town").SetProtocolVersion(4).
		SetKeepAlive(5 * time.Minute).SetAutoReconnect(false)
	s := &sender{
		client: mqtt.NewClient(options), random: random, sensors: sensors, rate: rate,
		end: make(chan struct{}), sent: make([][]time.Time, sensors),
	}
	if token := s.client.Connect(); !token.WaitTimeout(startLimit) || token.Error() != nil {
		return nil, fmt.Errorf("connect the sender: %w", token.Error())
	}
	s.running.Go(s.run)
	return s, nil
}

const senderTick = 5 * time.Millisecond

// run sends in bursts of random length until stop.
func (s *sender) run() {
	ticker := time.NewTicker(senderTick)
	defer ticker.Stop()
	due := 0.0
	for {
		select {
		case <-s.end:
			return
		case <-ticker.C:
		}
		due += 2 * s.random.Float64() * float64(s.rate) * senderTick.Seconds()
		for ; due >= 1; due-- {
			s.send()
		}
	}
}

func (s *sender) send() {
	if s.random.IntN(100) == 0 {
		s.spoilt++
		s.publish(s.random.IntN(s.sensors), spoilt(s.spoilt))
		return
	}
	sensor := s.random.IntN(s.sensors)
	at := time.Now().UTC().Truncate(time.Millisecond)
	if n := len(s.sent[sensor]); n > 0 && !at.After(s.sent[sensor][n-1]) {
		at = s.sent[sensor][n-1].Add(time.Millisecond) // tells the sensor's messages from each other
	}
	s.sent[sensor] = append(s.sent[sensor], at)
	s.publish(sensor, payload(sensor, len(s.sent[sensor]), at))
}

func (s *sender) publish(sensor int, text string) {
	s.tokens = append(s.tokens, s.client.Publish(fmt.Sprintf("meters/m%d/state", sensor), 1, false, text))
}

// stop ends sending, and waits until the broker has acknowledged everything.
func (s *sender) stop() error {
	close(s.end)
	s.running.Wait()
	late := time.Now().Add(flushLimit)
	for _, token := range s.tokens {
		if !token.WaitTimeout(time.Until(late)) || token.Error() != nil {
			return fmt.Errorf("the broker did not acknowledge a message: %w", token.Error())
		}
	}
	s.client.Disconnect(100)
	return nil
}

// close ends sending, whatever became of it.
func (s *sender) close() {
	if s == nil {
		return
	}
	select {
	case <-s.end:
	default:
		close(s.end)
	}
	s.running.Wait()
	s.client.Disconnect(0)
}
