//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// checkOwner keeps root from making files in the buffer that the gateway's user cannot open afterwards.
func checkOwner(dir string) error {
	stat, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := stat.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 && owner.Uid != 0 {
		return fmt.Errorf("%s belongs to user %d: what root changes in it that user could not open (sudo -u '#%d' belfry ...)", dir, owner.Uid, owner.Uid)
	}
	return nil
}
