package config

import (
	"errors"

	"belfry/gateway/forward"
)

func (l *loader) checkNATS(d *document, options forward.Options) {
	d.blame("nats", options.Check(), func(err error) (string, error) {
		if option, ok := errors.AsType[*forward.OptionError](err); ok {
			return option.Key, option.Err
		}
		return "", err
	})
	l.checkFiles(d, "nats", &options)
	options.ClientName, options.Prefix, options.Dir = l.config.Gateway, l.config.Prefix, l.dir
	l.config.NATS = options
}
