// A byte stream of JSON documents, one per line, as the API server sends a watch.

/** Yields each line parsed. Throws SyntaxError on a line that is not JSON and RangeError on one longer than `maxLineBytes`. */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>, maxLineBytes = 64 << 20): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', start)) {
      const line = rest.slice(start, end);
      start = end + 1;
      if (line.trim() !== '') yield JSON.parse(line);
    }
    rest = rest.slice(start);
    if (rest.length > maxLineBytes) throw new RangeError(`watch line is longer than ${maxLineBytes} bytes`);
  }
  if (rest.trim() !== '') yield JSON.parse(rest);
}
