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

func folderOf(t testing.TB, sensors int) string {
	dir := validFolder(t)
	write(t, filepath.Join(dir, "sensors/bins.csv"), sheetOf(sensors))
	return dir
}

// TestFiftyThousandSensorsNeedLittleMemory bounds what a load allocates in all, and what stays.
func TestFiftyThousandSensorsNeedLittleMemory(t *testing.T) {
	dir := folderOf(t, maxSensors)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	config := load(t, dir)
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 100<<20 {
		t.Errorf("allocated %d MiB, want at most 100", total>>20)
	}
	if objects := (after.Mallocs - before.Mallocs) / maxSensors; objects > 10 {
		t.Errorf("%d allocations a sensor, want at most 10", objects)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if stays := int64(after.HeapAlloc) - int64(before.HeapAlloc); stays > 40<<20 {
		t.Errorf("the configuration keeps %d MiB, want at most 40", stays>>20)
	}
	runtime.KeepAlive(config)
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
	}
}
