/* The settings of the program's allocator, which reads them before main. In Rust they would need unsafe
 * code, and what the environment of a build says holds only for builds in this folder.
 *
 * With an arena for each thread, what one shard has freed is of no use to the others, and with the default
 * decay of 10 s it stays resident: docs/attacks.md has the figures. */
const char *_rjem_malloc_conf = "narenas:1,dirty_decay_ms:100";
