/* The settings of jemalloc, the program's allocator, which reads this symbol before main. To define
 * it in Rust would need unsafe code. An environment variable of the build would only work for builds
 * in this folder.
 *
 * By default each thread has an arena of its own and gives freed memory back after 10 s. Then memory
 * that one shard has freed cannot be used by another shard, and stays resident: docs/attacks.md has
 * the figures. */
const char *_rjem_malloc_conf = "narenas:1,dirty_decay_ms:100";
