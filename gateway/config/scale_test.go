package config

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// sheetOf writes a file of many sensors.
func sheetOf(sensors int) string {
	var b strings.Builder
	b.WriteString("id,device,model,service,source,kind,lat,lon,asset,interval,note\n")
	for i := range sensors {
		fmt.Fprintf(&b, "BAC-%05d,70B3D5E75E%06X,dingtek-df702,waste,lorawan,,48.%05d,2.%05d,rue %d,12h,\n", i, i+1, i, i, i%300)
	}
	return b.String()
}

// keyFileOf writes their keys, every other one for ABP.
func keyFileOf(sensors int) string {
	var b strings.Builder
	b.WriteString("device,app_key,nwk_key,nwk_s_key,app_s_key\n")
	for i := range sensors {
		key := func(n int) string { return fmt.Sprintf("%08x41f7a6b35e29d4170fe2%04x", i+1, n) }
		if i%2 == 0 {
			fmt.Fprintf(&b, "70B3D5E75E%06X,%s,%s,,\n", i+1, key(1), key(2))
		} else {
			fmt.Fprintf(&b, "70B3D5E75E%06X,,,%s,%s\n", i+1, key(1), key(2))
		}
	}
	return b.String()
}

// folderWithKeysOf has sensors that all have keys.
func folderWithKeysOf(t testing.TB, sensors int) string {
	dir := folderOf(t, sensors)
	lines := strings.Split(sheetOf(sensors), "\n")
	lines[0] += ",dev_addr"
	for i := range sensors {
		if lines[i+1] += ","; i%2 == 1 {
			lines[i+1] += fmt.Sprintf("%08x", 0x26000000+i)
		}
	}
	write(t, filepath.Join(dir, "sensors/bins.csv"), strings.Join(lines[:sensors+1], "\n"))
	write(t, filepath.Join(dir, defaultKeyFile), keyFileOf(sensors))
	return dir
}

func folderOf(t testing.TB, sensors int) string {
	dir := validFolder(t)
	write(t, filepath.Join(dir, "sensors/bins.csv"), sheetOf(sensors))
	return dir
}

// TestFiftyThousandSensorsNeedLittleMemory bounds what a load allocates in all, and what stays.
func TestFiftyThousandSensorsNeedLittleMemory(t *testing.T) {
	checkMemory(t, folderOf(t, maxSensors), limits{allocated: 100, objects: 10, stays: 40})
}

// TestFiftyThousandKeysNeedLittleMemory does the same for sensors with two keys each; their part of the network stays too.
func TestFiftyThousandKeysNeedLittleMemory(t *testing.T) {
	config := checkMemory(t, folderWithKeysOf(t, maxSensors), limits{allocated: 200, objects: 20, stays: 80})
	if want := (Keys{OTAA: maxSensors / 2, ABP: maxSensors / 2}); config.Keys != want || config.Network.Devices() != maxSensors {
		t.Errorf("got %+v and %d devices, want %+v", config.Keys, config.Network.Devices(), want)
	}
}

// limits are of one load, in MiB and in allocations for each sensor.
type limits struct{ allocated, objects, stays uint64 }

func checkMemory(t *testing.T, dir string, limit limits) *Config {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	config := load(t, dir)
	runtime.ReadMemStats(&after)
	total, objects := after.TotalAlloc-before.TotalAlloc, (after.Mallocs-before.Mallocs)/maxSensors
	if total > limit.allocated<<20 {
		t.Errorf("allocated %d MiB, want at most %d", total>>20, limit.allocated)
	}
	if objects > limit.objects {
		t.Errorf("%d allocations a sensor, want at most %d", objects, limit.objects)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	stays := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if stays > int64(limit.stays<<20) {
		t.Errorf("the configuration keeps %d MiB, want at most %d", stays>>20, limit.stays)
	}
	t.Logf("allocated %d MiB, %d allocations a sensor, keeps %d MiB", total>>20, objects, stays>>20)
	return config
}

func BenchmarkLoad(b *testing.B) {
	for _, sensors := range []int{1000, maxSensors} {
		b.Run(fmt.Sprint(sensors), func(b *testing.B) {
			dir := folderOf(b, sensors)
			b.ReportAllocs()
			for b.Loop() {
				load(b, dir)
			}
		})
		b.Run(fmt.Sprint(sensors, " with keys"), func(b *testing.B) {
			dir := folderWithKeysOf(b, sensors)
			b.ReportAllocs()
			for b.Loop() {
				load(b, dir)
			}
		})
	}
}
