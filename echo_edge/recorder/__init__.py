"""The meeting recorder, `echo-edge record`: audio that is never lost, and who says what in it.

    input thread     a microphone, a file or a pipe   -> bounded queue           capture, microphone
    writer thread    queue -> 16 kHz mono 16-bit      -> WAV segments            writer, segments
    transcriber      segments, read back from disk    -> results.jsonl, result.* transcribe
    main thread      levels, keys, signals, low disk, retention, the live view   recorder, view

The transcriber is a process of its own: whatever an engine does, it cannot reach the audio. It
reads what was written, so a backlog needs no memory, and recovery after a crash is the same code,
run once more over a recording that no longer grows.
"""
