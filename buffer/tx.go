package buffer

// (Tx: see api. Append(lane, data) Seq; State(key); SetState(key, value).)
