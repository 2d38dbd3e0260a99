package source

import "errors"

// errNoNetwork says that a source of radio frames was made without the network that reads them.
var errNoNetwork = errors.New("there is no radio network, so no frame can be read")
