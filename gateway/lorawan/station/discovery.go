package station

import (
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// ParseDiscovery returns which radio gateway asks where its data connection goes.
func ParseDiscovery(message []byte) (ID, error) {
	query, err := object(message)
	if err != nil {
		return 0, err
	}
	var router ID
	found := false
	err = strictjson.Each(query, func(name string, value gjson.Result) (strictjson.Field, error) {
		if name != "router" {
			return 0, nil
		}
		found = true
		return 1, setID(&router, value)
	})
	if err == nil && !found {
		err = errors.New("no router in it")
	}
	if err != nil {
		return 0, fmt.Errorf("discovery: %w", err)
	}
	return router, nil
}

// muxs names the end of the data connection. There is only one.
const muxs = "muxs-::0"

type discovered struct {
	Router string `json:"router"`
	Muxs   string `json:"muxs,omitempty"`
	URI    string `json:"uri,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Discovered answers with the address of the data connection, which must have a port and a path.
func Discovered(router ID, uri string) []byte {
	return encode(discovered{Router: router.String(), Muxs: muxs, URI: uri})
}

// Refused answers that there is no data connection for this radio gateway.
func Refused(router ID, reason string) []byte {
	return encode(discovered{Router: router.String(), Error: reason})
}
