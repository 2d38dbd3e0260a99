package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// scene is a town at work: sensors that send to a broker, the gateway under test, and NATS. Parts do something to one of
// them, again and again, and then have it settle what arrived.
type scene struct {
	campaign *campaign
	name     string // in findings
	dir      string
	settings sceneSettings
	random   *rand.Rand

	broker  *broker
	nats    *natsServer
	sender  *sender
	foreign *foreigner
	gateway *process
	status  string
}

// sceneSettings differ from one scene to another.
type sceneSettings struct {
	data        string // the gateway's buffer; in dir when empty
	store       string // the files of nats-server; in dir when empty
	sensors     int
	rate        int // messages a second
	inFlight    int // messages that the broker sends without being acknowledged
	window      time.Duration
	hold        time.Duration
	commitDelay time.Duration
	foreign     bool // somebody else publishes on the stream too
	forgetful   bool // the gateway never notices that it is started again and again
}

const (
	upLimit   = 10 * time.Second // for the gateway to start, whatever it finds
	stopLimit = 10 * time.Second
)

func (s *scene) inDir(name string) string { return filepath.Join(s.dir, name) }

// open starts everything. close must be called, also after an error.
func (s *scene) open(ctx context.Context) (err error) {
	if s.settings.data == "" {
		s.settings.data = s.inDir("data")
	}
	if s.settings.store == "" {
		s.settings.store = s.inDir("store")
	}
	if s.broker, err = startBroker(s.dir, s.settings.inFlight); err != nil {
		return err
	}
	if s.nats, err = startNATS(s.campaign, s.dir, s.settings.store); err != nil {
		return err
	}
	if err := s.nats.makeStream(ctx, s.settings.window); err != nil {
		return fmt.Errorf("make the stream: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.status = fmt.Sprintf("127.0.0.1:%d", port)
	err = writeTown(townSettings{
		dir: s.inDir("config"), data: s.settings.data, broker: s.broker.address, nats: s.nats.url(), status: s.status,
		sensors: s.settings.sensors, hold: s.settings.hold, commitDelay: s.settings.commitDelay,
	})
	if err != nil {
		return err
	}
	if err := s.startGateway(); err != nil {
		return err
	}
	if err := s.waitSubscribed(ctx); err != nil { // what is sent before the broker knows of a session is nobody's
		return err
	}
	if s.sender, err = startSender(s.broker.address, s.settings.sensors, s.settings.rate, fork(s.random)); err != nil {
		return err
	}
	if s.settings.foreign {
		s.foreign, err = startForeigner(s.nats, s.settings.sensors, fork(s.random))
	}
	return err
}

// fork returns random choices of their own for another goroutine.
func fork(random *rand.Rand) *rand.Rand {
	return rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
}

// close ends everything that open started.
func (s *scene) close() {
	s.foreign.close()
	s.gateway.kill()
	s.sender.close()
	s.nats.close()
	s.broker.close()
}

func (s *scene) startGateway() (err error) {
	if s.settings.forgetful {
		_ = os.Remove(filepath.Join(s.settings.data, "starts"))
	}
	s.gateway, err = startProcess(s.inDir("belfry.log"), s.campaign.belfry, "run", "--config", s.inDir("config"))
	return err
}

// killGateway kills the gateway. That it has ended before is a finding.
func (s *scene) killGateway(r *result) {
	if !s.gateway.kill() {
		r.find(&r.unexplained, "%s: the gateway ended by itself after %v: %s", s.name, time.Since(s.gateway.started).Round(time.Millisecond), s.gateway.command.ProcessState)
	}
}

// killAfterCut does the same where the disk has failed before: a gateway that was about to start may have said so and ended.
func (s *scene) killAfterCut(r *result) error {
	if s.gateway.running() || s.gateway.command.ProcessState.ExitCode() != 1 {
		s.killGateway(r)
		return nil
	}
	log, err := os.ReadFile(s.inDir("belfry.log"))
	if err != nil {
		return err
	}
	last := log[bytes.LastIndex(log, []byte("\nbelfry: "))+1:]
	if bytes.Contains(last, []byte("\ntime=")) || !bytes.Contains(last, []byte(unix.EIO.Error())) {
		s.killGateway(r)
	}
	return nil
}

// stopGateway tells the gateway to stop, once it is up.
func (s *scene) stopGateway(r *result) {
	if !s.waitUp() {
		r.find(&r.unexplained, "%s: the gateway was not up %v after its start", s.name, upLimit)
	}
	if err := s.gateway.stop(stopLimit); err != nil {
		r.find(&r.unexplained, "%s: the gateway was told to stop: %v", s.name, err)
	}
}

// waitUp waits until the gateway answers, or has ended.
func (s *scene) waitUp() bool {
	late := s.gateway.started.Add(upLimit)
	if soon := time.Now().Add(time.Second); late.Before(soon) {
		late = soon
	}
	for ; time.Now().Before(late) && s.gateway.running(); time.Sleep(10 * time.Millisecond) {
		if response, err := http.Get("http://" + s.status + "/healthz"); err == nil {
			response.Body.Close()
			return true
		}
	}
	return false
}

func (s *scene) waitSubscribed(ctx context.Context) error {
	for late := time.Now().Add(startLimit); time.Now().Before(late); {
		if s.ready("source " + sourceName) {
			return nil
		}
		if !s.gateway.running() {
			return fmt.Errorf("the gateway ended at its first start: %s (see %s)", s.gateway.command.ProcessState, s.inDir("belfry.log"))
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the gateway does not subscribe (see %s)", s.inDir("belfry.log"))
}

// ready asks the gateway whether one of its parts is.
func (s *scene) ready(part string) bool {
	response, err := http.Get("http://" + s.status + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var body struct {
		Parts []struct {
			Name  string
			Ready bool
		}
	}
	if json.NewDecoder(response.Body).Decode(&body) != nil {
		return false
	}
	for _, p := range body.Parts {
		if p.Name == part {
			return p.Ready
		}
	}
	return false
}

// pause waits, or returns ctx's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// between returns a random duration.
func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(to-from)+1))
}
