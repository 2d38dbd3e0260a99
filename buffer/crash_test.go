package buffer

import "os"

func isCrashChild() bool { return os.Getenv("BUFFER_CRASH_DIR") != "" }
func crashChild()        {}
