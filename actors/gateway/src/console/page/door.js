// How is a question put, and how does its answer come? By the door that every client of OpenAI's API uses.

import { headers, refusal } from './key.js';
import { lines } from './lines.js';

/**
 * Asks, and gives what comes: `{text}`, `{leg}`, `{evidence}`, `{thought}`, and last `{end}` with what the brain tells of
 * its answer.
 *
 * @throws an error with a message for a person, and `needsKey` where a key would help
 */
export async function* ask({ model, text, files, signal }) {
  const parts = await Promise.all(files.map(async (file) => ({ type: 'file', file: { filename: file.name, file_data: await dataUrl(file) } })));
  const content = text ? [{ type: 'text', text }, ...parts] : parts;
  const body = { model, messages: [{ role: 'user', content }], stream: true, stream_options: { include_usage: true } };
  const response = await fetch('v1/chat/completions', {
    method: 'POST',
    headers: headers({ 'content-type': 'application/json' }),
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  const end = {};
  for await (const line of lines(response)) {
    if (!line.startsWith('data: ') || line === 'data: [DONE]') continue;
    const chunk = JSON.parse(line.slice(6));
    if (chunk.error) throw new Error(chunk.error.message);
    if (chunk.usage) end.usage = chunk.usage;
    const [choice] = chunk.choices;
    const notes = chunk.megabrain ?? {};
    if (choice?.delta.reasoning_content) yield { thought: choice.delta.reasoning_content };
    if (choice?.delta.content) yield { text: choice.delta.content };
    if (notes.leg) yield { leg: notes.leg };
    else if (choice?.finish_reason) Object.assign(end, notes, { finish: choice.finish_reason });
    else if (notes.evidence) yield { evidence: notes.evidence };
  }
  if (!end.finish) throw new Error('the answer broke off');
  yield { end };
}

/** The bytes of a file as text. */
function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}
