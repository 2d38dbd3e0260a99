package gateway

import (
	"time"

	"belfry/gateway/event"
)

// Sensor is one line of the town's inventory, checked.
type Sensor struct {
	Event    event.Sensor // what of it is published
	Model    *event.Model
	Service  string
	Source   string // the only source it may come from, unless its keys vouch for it; "" for any
	Asset    string
	Interval time.Duration // expected time between two uplinks; 0 when not known
	Token    string        // the id as a token of a NATS subject
	Payload  *PayloadKey   // nil when its payloads are not encrypted
}

// Inventory finds sensors by the address they have on their transport. It is not changed after NewInventory.
type Inventory struct {
	sensors []Sensor
	devices map[address]*Sensor
	names   map[string]*Sensor // by device alone; the first of several
	ids     map[string]*Sensor
}

type address struct{ source, device string }

// NewInventory makes an inventory of checked sensors.
func NewInventory(sensors []Sensor) *Inventory {
	inventory := &Inventory{
		sensors: sensors,
		devices: make(map[address]*Sensor, len(sensors)),
		names:   make(map[string]*Sensor, len(sensors)),
		ids:     make(map[string]*Sensor, len(sensors)),
	}
	for i := range sensors {
		sensor := &sensors[i]
		inventory.devices[address{sensor.Source, sensor.Event.Device}] = sensor
		if inventory.names[sensor.Event.Device] == nil {
			inventory.names[sensor.Event.Device] = sensor
		}
		inventory.ids[sensor.Event.ID] = sensor
	}
	return inventory
}

// Find returns the sensor with the given device that may come from the given source, nil if there is none.
func (i *Inventory) Find(source, device string) *Sensor {
	if sensor, ok := i.devices[address{source, device}]; ok {
		return sensor
	}
	return i.devices[address{"", device}]
}

// FindVouched is Find for a device that is known by more than what the source says: if no sensor of the source has it, that of
// another does.
func (i *Inventory) FindVouched(source, device string) *Sensor {
	if sensor := i.Find(source, device); sensor != nil {
		return sensor
	}
	return i.names[device]
}

// Sensor returns the sensor with the given id, nil if there is none.
func (i *Inventory) Sensor(id string) *Sensor { return i.ids[id] }

// Sensors returns all sensors in the order of the inventory; the slice must not be changed.
func (i *Inventory) Sensors() []Sensor { return i.sensors }
