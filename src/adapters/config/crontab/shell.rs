//! The words of a crontab's command: enough of the shell to see which options a program has. Nothing is expanded.

/// A command of a line, as written and in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Words without their quotes. A substitution such as `$(date +%F)` stays as it is.
    pub words: Vec<String>,
}

/// The commands of a line in their order, without redirections. A `%` ends the command unless a backslash precedes it: what
/// follows is its input.
pub(super) fn commands(line: &str) -> Vec<Command> {
    let line = before_input(line);
    let mut reader = Reader { rest: line.chars().collect(), at: 0 };
    let mut commands = vec![Command::default()];
    while let Some(token) = reader.token() {
        match token {
            Token::Word(word) => {
                if let Some(command) = commands.last_mut() {
                    command.words.push(word);
                }
            }
            Token::Redirection => {
                // Its target is no word of the command.
                reader.token();
            }
            Token::Duplicate => {}
            Token::End => commands.push(Command::default()),
        }
    }
    commands.retain(|command| !command.words.is_empty());
    commands
}

/// The line up to the first plain `%`, with `%` in place of `\%`.
fn before_input(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => text.extend(chars.next()),
            '%' => break,
            c => text.push(c),
        }
    }
    text
}

enum Token {
    Word(String),
    /// `>`, `>>`, `<`: a target follows.
    Redirection,
    /// `2>&1`.
    Duplicate,
    /// `;`, `&&`, `||`, `|`, `&`.
    End,
}

struct Reader {
    rest: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn token(&mut self) -> Option<Token> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let first = self.peek()?;
        if let ';' | '|' | '&' = first {
            self.at += 1;
            if first == '&' && self.peek() == Some('>') {
                return self.token();
            }
            while self.peek().is_some_and(|c| "|&;".contains(c)) {
                self.at += 1;
            }
            return Some(Token::End);
        }
        if let '>' | '<' = first {
            return Some(self.redirection());
        }
        let mut word = String::new();
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() || ";|&".contains(c) => break,
                '>' | '<' if word.bytes().all(|byte| byte.is_ascii_digit()) => return Some(self.redirection()),
                '>' | '<' => break,
                _ => self.part(&mut word),
            }
        }
        Some(Token::Word(word))
    }

    fn redirection(&mut self) -> Token {
        while self.peek().is_some_and(|c| c == '>' || c == '<') {
            self.at += 1;
        }
        if self.peek() != Some('&') {
            return Token::Redirection;
        }
        self.at += 1;
        while self.peek().is_some_and(|c| c.is_ascii_digit() || c == '-') {
            self.at += 1;
        }
        Token::Duplicate
    }

    /// One character, or one quoted or substituted text.
    fn part(&mut self, word: &mut String) {
        match self.next() {
            Some('\'') => word.extend(std::iter::from_fn(|| self.next().filter(|c| *c != '\''))),
            Some('"') => {
                while let Some(c) = self.peek().filter(|c| *c != '"') {
                    match c {
                        '\\' => {
                            self.at += 1;
                            word.extend(self.next());
                        }
                        '$' | '`' => self.part(word),
                        c => {
                            word.push(c);
                            self.at += 1;
                        }
                    }
                }
                self.at += 1;
            }
            Some('\\') => word.extend(self.next()),
            Some('`') => {
                word.push('`');
                word.extend(std::iter::from_fn(|| self.next().filter(|c| *c != '`')));
                word.push('`');
            }
            Some('$') if self.peek() == Some('(') => {
                word.push('$');
                let mut depth = 0;
                while let Some(c) = self.next() {
                    word.push(c);
                    match c {
                        '(' => depth += 1,
                        ')' if depth == 1 => break,
                        ')' => depth -= 1,
                        _ => {}
                    }
                }
            }
            Some(c) => word.push(c),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        commands(line).into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn commands_are_split_into_words() {
        assert_eq!(words("bake --a='b c' \"d e\" f\\ g"), [["bake", "--a=b c", "d e", "f g"]]);
        assert_eq!(words("bake x >> /var/log/x 2>&1"), [["bake", "x"]]);
        assert_eq!(words("bake x &> /dev/null < in"), [["bake", "x"]]);
        assert_eq!(
            words("cd /x && ./bake y || mail ops; true"),
            vec![vec!["cd", "/x"], vec!["./bake", "y"], vec!["mail", "ops"], vec!["true"]]
        );
        assert_eq!(words(r#"bake --n "g-$(date +\%F)" `date +\%s`"#), [["bake", "--n", "g-$(date +%F)", "`date +%s`"]]);
        assert_eq!(words("mail -s x %Dear all%bye"), [["mail", "-s", "x"]]);
        assert_eq!(words("  "), Vec::<Vec<String>>::new());
        assert_eq!(words("bake 'open"), [["bake", "open"]]);
    }
}
