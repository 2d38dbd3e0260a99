// Package configs holds the files that are built into the program: models of products, schemas and the demo's town.
package configs

import "embed"

// Files are the built-in files, by their path below configs/.
//
//go:embed models/*.yaml schema demo
var Files embed.FS
