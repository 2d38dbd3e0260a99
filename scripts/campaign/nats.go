package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func init() { children["nats-server"] = natsChild }

// natsServer is a nats-server in a process of its own, so that it can be killed and lose its disk.
type natsServer struct {
	campaign *campaign
	log      string
	store    string // folder
	port     int
	process  *process
}

// startNATS starts a server that keeps its files in store and logs into dir.
func startNATS(c *campaign, dir, store string) (*natsServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &natsServer{campaign: c, log: filepath.Join(dir, "nats.log"), store: store, port: port}
	return n, n.start()
}

// start starts it again on the same port and files, and returns when it listens.
func (n *natsServer) start() error {
	p, err := startProcess(n.log, n.campaign.self, "child", "nats-server", n.store, strconv.Itoa(n.port), n.log)
	if err != nil {
		return err
	}
	n.process = p
	if err := waitForPort(n.port, p); err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	return nil
}

func (n *natsServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.port) }

func (n *natsServer) close() {
	if n != nil {
		n.process.kill()
	}
}

// natsChild is nats-server with its defaults, JetStream on. args are the folder of its files, its port and its log file.
func natsChild(args []string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if len(args) != 3 {
		return fail(fmt.Errorf("usage: nats-server FOLDER PORT LOG"))
	}
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return fail(err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: args[0], NoSystemAccount: true, NoSigs: true, LogFile: args[2], Logtime: true,
	})
	if err != nil {
		return fail(err)
	}
	s.ConfigureLogger()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	s.Start()
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

// client connects to the server, and connects again as long as it is used.
func (n *natsServer) client() (*nats.Conn, jetstream.JetStream, error) {
	connection, err := nats.Connect(n.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(connection)
	return connection, js, err
}

// makeStream makes the stream as an operator would, with a duplicate window of its own.
func (n *natsServer) makeStream(ctx context.Context, window time.Duration) error {
	connection, js, err := n.client()
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"town.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, Duplicates: window,
	})
	return err
}
