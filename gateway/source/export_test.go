package source

import (
	"fmt"
	"time"

	"belfry/gateway"
)

// UplinkJSON is an event as ChirpStack v4 publishes it, about 700 bytes.
func UplinkJSON(deduplication string) string {
	return fmt.Sprintf(exampleUplink, deduplication)
}

const exampleUplink = `{"deduplicationId":"3ac7e3c4-4401-4b8d-9386-%s","time":"2026-01-14T17:02:10.412+00:00",` +
	`"deviceInfo":{"tenantId":"52f14cd4-c6f1-4fbd-8f87-4025e1d49242","tenantName":"Town","applicationId":"ca739e26-7b67-4f14-b69e-d568c22a5a75",` +
	`"applicationName":"light","deviceProfileName":"UL20","deviceName":"EP-0457-03","devEui":"70b3d5e75e00a1f2","tags":{}},` +
	`"devAddr":"00189440","adr":true,"dr":4,"fCnt":1204,"fPort":24,"confirmed":false,"data":"EiKgAAAAARgAAAMEjSlEHw==",` +
	`"rxInfo":[{"gatewayId":"0016c001f153a14c","uplinkId":4217106255,"gwTime":"2026-01-14T17:02:10.410+00:00","rssi":-97,"snr":6.2,"context":"E3OWOQ==","crcStatus":"CRC_OK"}],` +
	`"txInfo":{"frequency":867100000,"modulation":{"lora":{"bandwidth":125000,"spreadingFactor":8,"codeRate":"CR_4_5"}}}}`

// HoldFor sets how long a source keeps a broker waiting while nothing is stored.
func HoldFor(s gateway.Source, hold time.Duration) {
	s.(interface{ holdFor(time.Duration) }).holdFor(hold)
}

func (s *subscriber) holdFor(hold time.Duration) { s.hold = hold }

// SetStationPatience makes a basicstation source ask for signs of life, and give up on them, sooner.
func SetStationPatience(source gateway.Source, ping, idle time.Duration) {
	s := source.(*basicStation)
	s.ping, s.idle = ping, idle
}
