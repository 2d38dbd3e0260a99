package buffer

import (
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// relieve lets go of the pages of a file that this process has mapped by reading them: they stay in the kernel's cache,
// but count no longer as memory of this process. It must be called inside a transaction, which keeps the map in place.
func relieve(tx *bolt.Tx) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED) // a hint, no more
}
