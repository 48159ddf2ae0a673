//! The tools: where each keeps its settings, what it is called, and how it is started.

use super::TOKEN_VARIABLE;
use crate::{
    config::Config,
    output::{Exit, Failure, Result},
};
use std::{
    ffi::OsStr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// OpenAI's Codex CLI
    Codex,
    /// Claude Code
    Claude,
    /// OpenCode
    Opencode,
    /// Aider
    Aider,
    /// Cline's CLI
    Cline,
    /// Continue, its CLI and its editor extensions
    Continue,
    /// Qwen Code
    Qwen,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Claude => "claude",
            Self::Opencode => "opencode",
            Self::Aider => "aider",
            Self::Cline => "cline",
            Self::Continue => "continue",
            Self::Qwen => "qwen",
        }
    }

    pub fn program(self) -> &'static str {
        match self {
            Self::Continue => "cn",
            other => other.name(),
        }
    }

    fn install(self) -> &'static str {
        match self {
            Self::Codex => "npm install -g @openai/codex",
            Self::Claude => "npm install -g @anthropic-ai/claude-code",
            Self::Opencode => "npm install -g opencode-ai",
            Self::Aider => "python3 -m pip install aider-chat",
            Self::Cline => "npm install -g cline",
            Self::Continue => "npm install -g @continuedev/cli",
            Self::Qwen => "npm install -g @qwen-code/qwen-code",
        }
    }

    /// Whether its settings have to hold the token, because they cannot name a variable.
    pub fn holds_the_token(self) -> bool {
        matches!(self, Self::Aider | Self::Cline)
    }

    /// Where it finds the token; that of `devmesh` itself where its settings can say so.
    pub fn token_variable(self) -> &'static str {
        match self {
            Self::Claude => "ANTHROPIC_AUTH_TOKEN",
            _ => TOKEN_VARIABLE,
        }
    }

    /// Its user's settings.
    pub fn file(self, config: &Config) -> Result<PathBuf> {
        let home = config.paths.home.clone().ok_or_else(|| {
            Failure::usage(format!("HOME is not set: where the settings of {} lie is not known", self.name()))
        })?;
        let named =
            |variable: &str| config.environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        Ok(match self {
            Self::Codex => named("CODEX_HOME").unwrap_or_else(|| home.join(".codex")).join("config.toml"),
            Self::Claude => named("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.join(".claude")).join("settings.json"),
            Self::Opencode => {
                let folder = named("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("opencode");
                let with_comments = folder.join("opencode.jsonc");
                if with_comments.exists() { with_comments } else { folder.join("opencode.json") }
            }
            Self::Aider => home.join(".aider.conf.yml"),
            Self::Cline => home.join(".cline/data/settings/providers.json"),
            Self::Continue => home.join(".continue/config.yaml"),
            Self::Qwen => home.join(".qwen/settings.json"),
        })
    }

    /// Its program.
    pub fn installed(self, config: &Config) -> Result<PathBuf> {
        let path = config.environment.get("PATH").unwrap_or_default();
        let found = std::env::split_paths(path).map(|folder| folder.join(self.program())).find(|file| is_program(file));
        found.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("no `{}` is on your PATH", self.program())).next(self.install())
        })
    }

    /// Becomes the tool, with the token in its environment and no key of any cloud.
    pub fn start(self, program: &Path, arguments: &[String], token: &str, config: &Config) -> Result<Exit> {
        let mut command = Command::new(program);
        for name in config.environment.secret_variables() {
            command.env_remove(name);
        }
        command.env(TOKEN_VARIABLE, token).env(self.token_variable(), token);
        let error = command.args(arguments.iter().map(OsStr::new)).exec();
        Err(Failure::failed(format!("`{}` does not start: {error}", self.program())).next(self.install()))
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
