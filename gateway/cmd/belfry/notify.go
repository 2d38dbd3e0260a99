package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"belfry/gateway"
)

const (
	statusInterval  = time.Second      // how often the state is looked at
	pendingInterval = 10 * time.Second // how often the number of waiting records alone is told
	maxStatus       = 400              // bytes
)

// notifier tells systemd how the gateway is, and feeds its watchdog while intake and forwarding advance.
type notifier struct {
	gateway  *gateway.Gateway
	log      *slog.Logger
	watchdog time.Duration // systemd restarts what it has not heard of for so long; 0: it does not watch

	fed    time.Time
	told   string // what is not well, as systemd knows it
	toldAt time.Time
	stuck  bool
}

// notifyTasks returns the task of a notifier when systemd wants to hear of us.
func notifyTasks(g *gateway.Gateway, log *slog.Logger) []gateway.Task {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("the watchdog is not fed", "err", err)
	}
	n := &notifier{gateway: g, log: log, watchdog: watchdog}
	return []gateway.Task{{Name: "systemd", Run: n.run}}
}

func (n *notifier) run(ctx context.Context, ready func(error)) error {
	select {
	case <-n.gateway.Started():
	case <-ctx.Done():
		return nil
	}
	n.told = ""
	if err := notify(daemon.SdNotifyReady); err != nil {
		return err
	}
	interval := statusInterval
	if n.watchdog > 0 {
		interval = min(interval, n.watchdog/3)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		ready(n.turn(time.Now()))
		select {
		case <-ctx.Done():
			_ = notify(daemon.SdNotifyStopping) // nobody waits for it
			return nil
		case <-ticker.C:
		}
	}
}

// turn tells what is due.
func (n *notifier) turn(now time.Time) error {
	stuck := n.gateway.Stuck() // asked first: if even that hangs, the watchdog is not fed
	if stuck != nil && !n.stuck {
		n.log.Error("stuck: the watchdog is fed no more", "err", stuck)
	}
	n.stuck = stuck != nil
	if err := n.tell(now, stuck); err != nil {
		return err
	}
	if n.watchdog == 0 || n.stuck || now.Sub(n.fed) < n.watchdog/3 {
		return nil
	}
	n.fed = now
	return notify(daemon.SdNotifyWatchdog)
}

// tell sends the status line when something changed.
func (n *notifier) tell(now time.Time, stuck error) error {
	stats := n.gateway.BufferStats()
	var troubles []string
	if stuck != nil {
		troubles = append(troubles, stuck.Error())
	}
	if stats.Failing != nil {
		troubles = append(troubles, "buffer: "+stats.Failing.Error())
	}
	for _, c := range n.gateway.Conditions() {
		if !c.Ready && c.Name != "systemd" {
			troubles = append(troubles, c.Name+": "+c.Error)
		}
	}
	state := "all connected"
	if len(troubles) > 0 {
		state = strings.Join(troubles, "; ")
	}
	line := fmt.Sprintf("%d pending; %s", stats.Pending[0]+stats.Pending[1], state)
	if line == n.told || state == n.state() && now.Sub(n.toldAt) < pendingInterval {
		return nil
	}
	if err := notify("STATUS=" + oneLine(line)); err != nil {
		return err
	}
	n.told, n.toldAt = line, now
	return nil
}

// state is the part of the last status line that does not count.
func (n *notifier) state() string {
	_, state, _ := strings.Cut(n.told, "; ")
	return state
}

// oneLine makes a text fit a line of systemctl status; a line end would begin another assignment.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "") + "..."
	}
	return text
}

func notify(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}
