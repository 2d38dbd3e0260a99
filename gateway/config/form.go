package config

import (
	"time"

	"belfry/gateway/forward"
)

// form is belfry.yaml as it is written.
type form struct {
	Gateway       string          `yaml:"gateway"`
	Town          townForm        `yaml:"town"`
	SubjectPrefix string          `yaml:"subject_prefix"`
	EventKey      string          `yaml:"event_key"`
	Sources       []sourceForm    `yaml:"sources"`
	LoRaWAN       lorawanForm     `yaml:"lorawan"`
	NATS          forward.Options `yaml:"nats"`
	Buffer        bufferForm      `yaml:"buffer"`
	Status        statusForm      `yaml:"status"`
	Log           logForm         `yaml:"log"`
}

type townForm struct {
	Name    string `yaml:"name"`
	Commune string `yaml:"commune"`
	Owner   string `yaml:"owner"`
}

type bufferForm struct {
	Dir         string        `yaml:"dir"`
	MaxSize     size          `yaml:"max_size"`
	MaxAge      time.Duration `yaml:"max_age"`
	WhenFull    string        `yaml:"when_full"`
	Hold        time.Duration `yaml:"hold"`
	CommitDelay time.Duration `yaml:"commit_delay"`
}

type statusForm struct {
	Listen string `yaml:"listen"`
}

type logForm struct {
	Format string `yaml:"format"`
	Level  string `yaml:"level"`
}

// defaults are the values of all keys that may be left out. Those of a source stand in its own file.
func defaults() form {
	return form{
		SubjectPrefix: "town",
		LoRaWAN:       lorawanDefaults(),
		NATS:          forward.Defaults(),
		Buffer: bufferForm{
			Dir: "/var/lib/belfry", MaxSize: 1 << 30, MaxAge: 30 * 24 * time.Hour, WhenFull: "oldest",
			Hold: 5 * time.Minute, CommitDelay: 250 * time.Millisecond,
		},
		Status: statusForm{Listen: "127.0.0.1:9469"},
		Log:    logForm{Format: "text", Level: "info"},
	}
}
