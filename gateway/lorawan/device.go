package lorawan

// Device is what the network must know of a sensor to read its frames. Which keys are set says how it is activated:
//
//   - OTAA, LoRaWAN 1.0.x: AppKey.
//   - OTAA, LoRaWAN 1.1: AppKey and NwkKey.
//   - ABP, LoRaWAN 1.0.x: DevAddr, NwkSKey and AppSKey.
//   - ABP, LoRaWAN 1.1: these, SNwkSIntKey and NwkSEncKey; NwkSKey is then the FNwkSIntKey.
type Device struct {
	DevEUI  string // 16 hexadecimal digits, lower case
	DevAddr string // 8 hexadecimal digits, lower case; "" for OTAA
	Relaxed bool   // the frame counter may begin anew without a join; such frames are flagged, not refused

	AppKey, NwkKey *Key

	NwkSKey, AppSKey, SNwkSIntKey, NwkSEncKey *Key
}

// Activated says whether the device has a session from the start (ABP).
func (d *Device) Activated() bool { return d.DevAddr != "" }
