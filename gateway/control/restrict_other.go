//go:build !unix

package control

func restrict(uintptr) {}
