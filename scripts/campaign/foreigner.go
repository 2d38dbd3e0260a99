package main

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const foreignHeader = "Foreign"

// foreigner is somebody else who publishes to the stream, now and then on a subject of ours.
type foreigner struct {
	connection *nats.Conn
	end        chan struct{}
	running    sync.WaitGroup
}

func startForeigner(n *natsServer, sensors int, random *rand.Rand) (*foreigner, error) {
	connection, _, err := n.client()
	if err != nil {
		return nil, err
	}
	f := &foreigner{connection: connection, end: make(chan struct{})}
	f.running.Go(func() {
		for number := 1; ; number++ {
			select {
			case <-f.end:
				return
			case <-time.After(time.Duration(random.IntN(40)) * time.Millisecond):
			}
			subject := "town.99001.waste.observation.FOREIGN"
			if random.IntN(10) == 0 {
				subject = observations(random.IntN(sensors))
			}
			message := nats.NewMsg(subject)
			message.Header.Set(foreignHeader, strconv.Itoa(number))
			message.Data = []byte(`{"foreign":true}`)
			_ = connection.PublishMsg(message) // while the server is away nothing comes of it
		}
	})
	return f, nil
}

func (f *foreigner) close() {
	if f == nil {
		return
	}
	select {
	case <-f.end:
	default:
		close(f.end)
	}
	f.running.Wait()
	f.connection.Close()
}
