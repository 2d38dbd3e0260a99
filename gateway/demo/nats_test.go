package demo

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestNATSKeepsItsPortAndItsStreamsOverARestart(t *testing.T) {
	s, err := StartNATS(NATSOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	address := s.URL()
	dial := func() jetstream.JetStream {
		t.Helper()
		nc, err := nats.Connect(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	js := dial()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "TOWN", Subjects: []string{"town.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "town.a", []byte("kept")); err != nil {
		t.Fatal(err)
	}

	s.Stop()
	if nc, err := nats.Connect(address); err == nil {
		nc.Close()
		t.Fatal("connected to a stopped server")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if s.URL() != address {
		t.Errorf("got %s after the restart, want %s", s.URL(), address)
	}
	stream, err := dial().Stream(ctx, "TOWN")
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.GetLastMsgForSubject(ctx, "town.a")
	if err != nil || string(message.Data) != "kept" {
		t.Errorf("got message %v, %v after the restart, want the one before", message, err)
	}
	if err := s.Start(); err == nil {
		t.Error("started twice")
	}
}
