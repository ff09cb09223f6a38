/** Control and format characters, which could forge output on a terminal, are shown as their code. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, codeOf);
}

/** All that is not plain ASCII is shown as its code: letters that look alike can be told apart. */
export function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, codeOf);
}

function codeOf(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}
