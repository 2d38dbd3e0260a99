// Command campaign tries to make Belfry lose, double or reorder something: kills, power cuts, failing disks.
package main

import "os"

func main() {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		if child, ok := children[os.Args[2]]; ok {
			os.Exit(child(os.Args[3:]))
		}
	}
}
